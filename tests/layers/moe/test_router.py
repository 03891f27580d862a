"""Gates: what the chosen experts are weighed with, and the noise that chooses them."""

import keras
import numpy as np
import pytest
from keras import ops

from sparse_mixer_tf.layers import (
    MixtureOfExperts,
    Router,
    RoutingSettings,
    growing_num_selected_experts,
    observe_routing,
    random_key,
)
from sparse_mixer_tf.layers.moe.router import gate_weights, random_normal, softmax_of_largest
from tests.layers import backend

EXPERTS = 6
LOGITS = np.random.default_rng(0).standard_normal((2, 50, EXPERTS)).astype("float32")
KEY = np.array([3, 4], np.uint32)
SELECTED = {
    "softmax": 2,
    "top_k": 2,
    "noisy_top_k": 2,
    "switch": 1,
    "gshard": 2,
    "frozen_random": 2,
}


def softmax(x):
    x = np.exp(x - x.max(axis=-1, keepdims=True))
    return x / x.sum(axis=-1, keepdims=True)


def make(gate, router="dropless", **options):
    keras.utils.set_random_seed(2)
    routing = {
        "num_experts": EXPERTS,
        "router": router,
        "gate": gate,
        "num_selected_experts": SELECTED[gate],
        "batch_prioritized_routing": False,
        **options,
    }
    layer = MixtureOfExperts(12, routing, initializer="torch")
    layer.build((None, None, 8))
    return layer


def tokens(batch=2, seq=20):
    return np.random.default_rng(1).normal(size=(batch, seq, 8)).astype("float32")


@pytest.mark.parametrize("gate", ["top_k", "noisy_top_k", "frozen_random", "gshard"])
@pytest.mark.parametrize("selected", [1, 2, 6])
def test_weights_of_the_chosen_are_a_softmax_over_them_alone(gate, selected):
    weights = np.asarray(gate_weights(LOGITS, gate, selected))
    for logits, row in zip(LOGITS.reshape(-1, EXPERTS), weights.reshape(-1, EXPERTS), strict=True):
        chosen = np.argsort(-logits)[:selected]
        expected = np.zeros(EXPERTS)
        expected[chosen] = softmax(logits[chosen])
        np.testing.assert_allclose(row, expected, atol=1e-6)
        assert np.count_nonzero(row) == selected


@pytest.mark.parametrize("gate", ["softmax", "switch"])
def test_weights_of_the_whole_softmax_say_how_sure_the_router_is(gate):
    np.testing.assert_allclose(gate_weights(LOGITS, gate, 1), softmax(LOGITS), atol=1e-6)


def test_of_equal_logits_no_more_than_asked_for_are_chosen():
    weights = softmax_of_largest(np.zeros((3, 1, 5), "float32"), 2)
    np.testing.assert_array_equal(weights, [[[0.5, 0.5, 0, 0, 0]]] * 3)


def test_one_chosen_expert_has_weight_one_and_teaches_the_router_nothing():
    def loss(logits):
        return ops.sum(gate_weights(logits, "top_k", 1) ** 2 * LOGITS), None

    _, (gradient,) = backend.gradients(loss, [LOGITS])
    np.testing.assert_array_equal(gradient, np.zeros_like(LOGITS))


def test_the_second_expert_of_gshard_stays_in_proportion_to_its_weight():
    logits = np.tile(np.array([2.0, 1.0, -5, -5, -5, -5], "float32"), (1, 20_000, 1))
    kept = np.asarray(gate_weights(logits, "gshard", 2))[0, 0]
    weights = np.asarray(gate_weights(logits, "gshard", 2, KEY))[0]
    np.testing.assert_allclose(weights[:, 0], kept[0], atol=1e-6)
    stays = weights[:, 1] > 1e-6
    np.testing.assert_allclose(weights[stays, 1], kept[1], atol=1e-6)
    assert abs(stays.mean() - 2 * kept[1]) < 0.02
    # Still the second choice of its token, so that no other expert takes its place.
    assert (np.argsort(-weights, axis=-1)[:, 1] == 1).all()


def test_normal_numbers_are_normal():
    draws = np.asarray(random_normal(KEY, (100, 1000)))
    assert abs(draws.mean()) < 0.01
    assert abs(draws.std() - 1) < 0.01
    assert abs((np.abs(draws) < 1).mean() - 0.6827) < 0.01
    assert np.isfinite(draws).all()


def test_the_number_of_chosen_experts_grows_evenly_from_first_to_last():
    numbers = [growing_num_selected_experts(step, 1000, 8, 16) for step in range(1200)]
    assert numbers == sorted(numbers)
    assert set(numbers) == set(range(8, 17))
    assert (numbers[0], numbers[500], numbers[1000], numbers[1199]) == (8, 12, 16, 16)


def test_more_experts_can_be_selected_while_training():
    layer, x = make("frozen_random"), tokens()
    with observe_routing() as reports:
        layer(x)
        layer.select_experts(5)
        y = layer(x)
    before, after = (metrics["router_confidence"] for _, metrics in reports)
    np.testing.assert_allclose([before, after], [1 / 2, 1 / 5], rtol=1e-5)
    assert layer.get_config()["routing"]["num_selected_experts"] == 5
    same = MixtureOfExperts.from_config(layer.get_config())
    same.build((None, None, 8))
    same.set_weights(layer.get_weights())
    np.testing.assert_array_equal(same(x), y)
    with pytest.raises(ValueError, match="num_selected_experts=7 does not fit"):
        layer.select_experts(7)


def gradients(layer, x, key=KEY, factor=1.0):
    def loss():
        with random_key(key):
            y = layer(x, training=True)
        return factor * ops.sum(y**2) + sum(layer.losses), None

    _, found = backend.gradients(loss, variables=layer.trainable_variables)
    names = [v.path.split("/", 1)[-1] for v in layer.trainable_variables]
    return dict(zip(names, found, strict=True))


@pytest.mark.parametrize("router", ["dropless", "tokens_choose"])
@pytest.mark.parametrize("gate", SELECTED)
def test_every_gate_trains_its_experts_and_its_router(gate, router):
    layer = make(gate, router, balance_loss_factor=0.0, router_z_loss_factor=0.0)
    found = gradients(layer, tokens())
    assert all(np.isfinite(gradient).all() for gradient in found.values())
    assert np.abs(found["experts/kernel_in"]).max() > 0
    if gate == "frozen_random":
        assert not [name for name in found if name.startswith("router")]
    else:
        assert np.abs(found["router/kernel"]).max() > 0
    if gate == "noisy_top_k":
        assert np.abs(found["router/noise_kernel"]).max() > 0


@pytest.mark.parametrize("gate", [gate for gate in SELECTED if gate != "frozen_random"])
@pytest.mark.parametrize("name", ["balance_loss_factor", "router_z_loss_factor"])
def test_balance_and_z_loss_reach_the_router(gate, name):
    factors = {"balance_loss_factor": 0.0, "router_z_loss_factor": 0.0}
    without = gradients(make(gate, **factors), tokens(), factor=0.0)
    kernel = gradients(make(gate, **{**factors, name: 0.5}), tokens(), factor=0.0)
    assert not np.abs(without["router/kernel"]).any()
    assert np.abs(kernel["router/kernel"]).max() > 1e-4


@pytest.mark.parametrize("gate", ["noisy_top_k", "switch", "gshard"])
def test_noise_follows_the_key_and_is_for_training_alone(gate):
    layer, x = make(gate), tokens()

    def run(key, training=True):
        with random_key(np.array([key, 1], np.uint32)):
            return np.asarray(layer(x, training=training))

    np.testing.assert_array_equal(run(1), run(1))
    assert np.abs(run(1) - run(2)).max() > 1e-6
    np.testing.assert_array_equal(run(1, training=False), run(2, training=False))


@pytest.mark.parametrize("gate", SELECTED)
def test_tokens_meet_the_experts_that_the_gate_chose(gate):
    """Each token by hand: the sum of its chosen experts, weighed by the gate."""
    layer, x = make(gate), tokens(1, 12)
    values = {
        v.path.split("/", 1)[-1]: np.asarray(v) for v in layer.weights if "seed" not in v.path
    }
    y = np.asarray(layer(x))[0]
    for token, ours in zip(np.asarray(x)[0], y, strict=True):
        logits = token @ values["router/kernel"] + values["router/bias"]
        weights = np.asarray(gate_weights(logits[None, None], gate, SELECTED[gate]))[0, 0]
        expected = np.zeros(8)
        for expert in np.argsort(-logits)[: SELECTED[gate]]:
            hidden = token @ values["experts/kernel_in"][expert] + values["experts/bias_in"][expert]
            hidden = np.asarray(keras.ops.gelu(hidden, approximate=True))
            expected += weights[expert] * (
                hidden @ values["experts/kernel_out"][expert] + values["experts/bias_out"][expert]
            )
        np.testing.assert_allclose(ours, expected, atol=1e-5)


def test_a_router_without_bias_has_none():
    layer = make("top_k", router_bias=False)
    assert not [v.path for v in layer.weights if v.path.endswith("router/bias")]
    assert np.abs(gradients(layer, tokens())["router/kernel"]).any()


def test_a_frozen_router_has_weights_that_do_not_train():
    router = Router(4, frozen=True)
    router.build((None, None, 8))
    assert router.trainable_variables == []
    assert np.abs(router.kernel).max() > 0


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"gate": "best"}, "gate='best' does not fit: expected one of softmax, top_k"),
        ({"gate": "top_k"}, "gate='top_k' does not fit: expected softmax where router="),
        (
            {"gate": "switch", "router": "dropless", "num_selected_experts": 2},
            "num_selected_experts=2 does not fit: expected 1 with gate='switch'",
        ),
        (
            {"gate": "gshard", "router": "dropless"},
            "num_selected_experts=1 does not fit: expected 2 with gate='gshard'",
        ),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        RoutingSettings(**settings)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"router": "experts_choose"}, "router='experts_choose' compares all tokens"),
        ({"router": "tokens_choose"}, "batch_prioritized_routing=True serves confident later"),
        (
            {
                "router": "tokens_choose",
                "batch_prioritized_routing": False,
                "num_selected_experts": 2,
            },
            "num_selected_experts=2 with a capacity serves the first choices of later tokens",
        ),
    ],
)
def test_routing_that_looks_ahead_is_no_causal_routing(settings, message):
    with pytest.raises(ValueError, match=message):
        RoutingSettings(**settings).check_causal()
    RoutingSettings(**{**settings, "router": "dropless"}).check_causal()


def test_second_choices_with_a_capacity_do_look_ahead():
    """Show the reason for the refusal: the last token changes an earlier one's output."""

    def earlier_outputs(selected, last):
        layer = make("top_k", "tokens_choose", num_selected_experts=selected, capacity_factor=0.5)
        layer.router.kernel.assign(np.eye(8)[:, :EXPERTS])
        x = np.zeros((1, 24, 8), "float32")
        x[0, :, 0], x[0, :, 1] = 2, 1
        x[0, -1] = last
        return np.asarray(layer(x))[0, :-1]

    first, second = np.eye(8)[0] * 2, np.eye(8)[1] * 2
    assert np.abs(earlier_outputs(2, first) - earlier_outputs(2, second)).max() > 1e-4
    np.testing.assert_array_equal(earlier_outputs(1, first), earlier_outputs(1, second))
