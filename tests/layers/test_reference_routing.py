"""Routers and mixture-of-experts layers give the published code's numbers.

The files `*_bf16` come from a router in bfloat16, which this project does not have: there only
what rounding cannot change beyond its size is compared, probabilities and losses. The files
`*_g2_c1.0` hold a mix-up of experts between groups; `*_g2_correct` are matched in their place.
"""

import numpy as np
import pytest
from keras import ops

from sparse_mixer_tf.layers import MixtureOfExperts, Router, observe_routing
from sparse_mixer_tf.layers.moe.aux_losses import balance_loss, router_z_loss
from sparse_mixer_tf.layers.moe.dispatch import dispatch_mask
from sparse_mixer_tf.layers.moe.routing import experts_choose, tokens_choose
from tests.layers.reference import Reference, assert_close, check

ROUTERS = {
    "experts_choose": {"router": "experts_choose"},
    "mask_k1_bpr": {"router": "tokens_choose"},
    "mask_k1_nobpr": {"router": "tokens_choose", "batch_prioritized_routing": False},
    "mask_k2_bpr": {"router": "tokens_choose", "num_selected_experts": 2},
    "scatter_k1_bpr": {"router": "tokens_choose"},
    "scatter_k1_nobpr": {"router": "tokens_choose", "batch_prioritized_routing": False},
}
# No `moe_` files exist for this one.
MOE_ROUTERS = [name for name in ROUTERS if name != "scatter_k1_nobpr"]
WEIGHTS = {
    "router/kernel": "router/router_weights/DenseGeneral_0/kernel",
    "router/bias": "router/router_weights/DenseGeneral_0/bias",
    "experts/kernel_in": "expert/intermediate/kernel",
    "experts/bias_in": "expert/intermediate/bias",
    "experts/kernel_out": "expert/output/kernel",
    "experts/bias_out": "expert/output/bias",
}


@pytest.fixture
def load():
    return Reference


def route(name, reference):
    """Logits, probabilities and routing with the router weights of a reference; capacity 4."""
    tokens = reference["in/token_inputs"]
    router = Router(num_experts=4)
    router.build(tokens.shape)
    dense = "p/router_weights/DenseGeneral_0"
    router.kernel.assign(reference[f"{dense}/kernel"])
    router.bias.assign(reference[f"{dense}/bias"])
    logits = router(tokens)
    probabilities = ops.softmax(logits)
    real = np.ones(tokens.shape[:2], bool)
    if name == "experts_choose":
        return logits, probabilities, experts_choose(probabilities, real, 1.0, 4)
    settings = ROUTERS[name]
    routing = tokens_choose(
        probabilities,
        real,
        settings.get("num_selected_experts", 1),
        1.0,
        4,
        settings.get("batch_prioritized_routing", True),
    )
    return logits, probabilities, routing


@pytest.mark.parametrize("name", ROUTERS)
def test_router_matches(load, name):
    reference = load(f"router_{name}_f32")
    logits, probabilities, routing = route(name, reference)
    assert_close(logits, reference["out/logits"])
    assert_close(probabilities, reference["out/probs"])
    mask = dispatch_mask(routing, 12, "float32")
    if "out/dispatch_mask" in reference:
        theirs = reference["out/dispatch_mask"]
        np.testing.assert_array_equal(ops.transpose(mask, (0, 3, 1, 2)), theirs)
        combine = mask * routing.gate[..., None]
        assert_close(ops.transpose(combine, (0, 3, 1, 2)), reference["out/combine_array"])
    else:
        weights, dispatched = reference["out/combine_weights"], 0
        for group, token, choice in np.ndindex(*weights.shape):
            expert, priority = reference["out/dispatch_indices"][group, token, choice]
            if weights[group, token, choice] > 0:
                dispatched += 1
                assert routing.occupied[group, expert, priority]
                assert routing.token_index[group, expert, priority] == token
                assert_close(routing.gate[group, expert, priority], weights[group, token, choice])
        assert dispatched == ops.sum(ops.cast(routing.occupied, "int32"))


@pytest.mark.parametrize("name", ROUTERS)
@pytest.mark.parametrize("precision, tolerance", [("f32", 1e-5), ("bf16", 1e-2)])
def test_router_losses_match(load, name, precision, tolerance):
    reference = load(f"router_{name}_{precision}")
    logits, probabilities, _ = route(name, reference)
    real = np.ones(probabilities.shape[:2], bool)
    np.testing.assert_allclose(probabilities, reference["out/probs"], atol=tolerance)
    z_loss = router_z_loss(logits, real)
    np.testing.assert_allclose(z_loss, reference["m/router_z_loss"], rtol=tolerance)
    if name != "experts_choose":
        balance = balance_loss(probabilities, real, ROUTERS[name].get("num_selected_experts", 1))
        np.testing.assert_allclose(balance, reference["m/auxiliary_loss"], rtol=tolerance)


def moe(name, group_size, capacity_factor, dispatch):
    settings = {
        "num_experts": 4,
        "min_expert_capacity": 2,
        "max_group_size": group_size,
        "capacity_factor": capacity_factor,
        "dispatch": dispatch,
        "balance_loss_factor": 1.0,
        "router_z_loss_factor": 0.1,
    }
    layer = MixtureOfExperts(10, {**settings, **ROUTERS[name]})
    layer.build((2, 16, 6))
    return layer


def expert_axis_first(array, name):
    return (
        np.moveaxis(array, 1, 0)
        if name.startswith("experts") and array.ndim == 3
        else (array.T if name.startswith("experts") else array)
    )


@pytest.mark.parametrize("dispatch", ["gather", "einsum"])
@pytest.mark.parametrize(
    "group_size, capacity_factor, suffix",
    [(32, 1.0, "g1_c1.0"), (32, 0.5, "g1_c0.5"), (16, 1.0, "g2_correct")],
)
@pytest.mark.parametrize("name", MOE_ROUTERS)
def test_mixture_of_experts_matches(load, name, group_size, capacity_factor, suffix, dispatch):
    reference = load(f"moe_{name}_f32_{suffix}")
    layer = moe(name, group_size, capacity_factor, dispatch)
    check(layer, reference, WEIGHTS, reshape=expert_axis_first, loss=lambda: sum(layer.losses))
    with observe_routing() as reports:
        layer(reference["in/input_emb"])
    ((_, metrics),) = reports
    assert_close(metrics["balance_loss"], reference["m/auxiliary_loss"])
    assert_close(metrics["router_z_loss"], reference["m/router_z_loss"])
    theirs = {
        "dropped_fraction": "fraction_tokens_left_behind",
        "expert_usage": "expert_usage",
        "router_confidence": "router_confidence",
    }
    for ours, original in theirs.items():
        if f"m/{original}" in reference:
            assert_close(metrics[ours], reference[f"m/{original}"])


@pytest.mark.parametrize("name", MOE_ROUTERS)
@pytest.mark.parametrize("groups", [1, 2])
def test_losses_of_a_bfloat16_router_are_matched_to_its_rounding(load, name, groups):
    reference = load(f"moe_{name}_bf16_g{groups}_c1.0")
    layer = moe(name, 32 // groups, 1.0, "gather")
    for variable in layer.trainable_variables:
        path = variable.path.split("/", 1)[1]
        variable.assign(expert_axis_first(reference[f"p/{WEIGHTS[path]}"], path))
    with observe_routing() as reports:
        layer(reference["in/input_emb"])
    ((_, metrics),) = reports
    for ours, theirs in (("balance_loss", "auxiliary_loss"), ("router_z_loss", "router_z_loss")):
        np.testing.assert_allclose(metrics[ours], reference[f"m/{theirs}"], rtol=0.02, atol=1e-6)
