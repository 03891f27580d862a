"""Routing settings: checked, and to and from a dict."""

import pytest

from sparse_mixer_tf.layers import RoutingSettings


def test_settings_survive_a_dict():
    settings = RoutingSettings(num_experts=8, router="tokens_choose", num_selected_experts=2)
    assert RoutingSettings.from_dict(settings.to_dict()) == settings


@pytest.mark.parametrize(
    "name, value, expected",
    [
        ("router", "random", "expected one of experts_choose, tokens_choose, dropless"),
        ("dispatch", "scatter", "expected one of gather, einsum"),
        ("num_experts", 0, "expected a number of at least 1"),
        ("num_selected_experts", 17, "expected at most num_experts=16"),
        ("capacity_factor", 0.0, "expected a positive factor"),
        ("eval_capacity_factor", -1.0, "expected a positive factor"),
        ("min_expert_capacity", 0, "expected a number of at least 1"),
        ("jitter_noise", 1.0, r"expected a number in \[0, 1\)"),
        ("max_group_size", 0, "expected a number of at least 1"),
        ("balance_loss_factor", -0.1, "expected a weight of at least 0"),
        ("router_z_loss_factor", -0.1, "expected a weight of at least 0"),
    ],
)
def test_a_setting_out_of_range_is_refused_with_its_value(name, value, expected):
    with pytest.raises(ValueError, match=f"{name}={value!r} does not fit: {expected}; "):
        RoutingSettings(**{name: value})


def test_an_unknown_setting_is_refused_by_name():
    with pytest.raises(ValueError, match="'experts' is no routing setting; expected num_experts,"):
        RoutingSettings.from_dict({"experts": 4})


def test_capacity_factor_of_evaluation_falls_back_to_that_of_training():
    assert RoutingSettings(capacity_factor=0.5).capacity_factor_when(training=False) == 0.5
    apart = RoutingSettings(capacity_factor=0.5, eval_capacity_factor=2.0)
    assert apart.capacity_factor_when(training=True) == 0.5
    assert apart.capacity_factor_when(training=False) == 2.0
