"""Laws of routing and dispatch, over random shapes."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import ops

from sparse_mixer_tf.layers import MixtureOfExperts, observe_routing
from sparse_mixer_tf.layers.moe.aux_losses import balance_loss
from sparse_mixer_tf.layers.moe.metrics import slot_metrics
from sparse_mixer_tf.layers.moe.router import Router
from sparse_mixer_tf.layers.moe.routing import (
    expert_capacity,
    experts_choose,
    group_shape,
    group_tokens,
    tokens_choose,
    ungroup_tokens,
)
from sparse_mixer_tf.layers.tracing import varying_shapes
from tests.layers.backend import gradients
from tests.layers.small_moe import D_MODEL, layer_for, tokens_of


@st.composite
def routings(draw):
    """A drawn router with random probabilities and padding, and its routing."""
    groups, tokens = draw(st.integers(1, 3)), draw(st.integers(1, 24))
    experts = draw(st.integers(2, 5))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    logits = rng.normal(size=(groups, tokens, experts)).astype("float32")
    probabilities = np.asarray(ops.softmax(logits * draw(st.sampled_from([0.1, 1.0, 5.0]))))
    real = rng.random((groups, tokens)) < draw(st.sampled_from([0.3, 0.8, 1.0]))
    factor, least = draw(st.sampled_from([0.25, 0.5, 1.0, 1.1, 1.25, 3.0])), draw(st.integers(1, 4))
    if draw(st.booleans()):
        routing = experts_choose(probabilities, real, factor, least)
    else:
        selected = draw(st.integers(1, experts))
        routing = tokens_choose(probabilities, real, selected, factor, least, draw(st.booleans()))
    return probabilities, real, factor, least, routing


@given(routings())
def test_dispatched_and_dropped_tokens_are_all_real_tokens(case):
    _, real, _, _, routing = case
    occupied = np.asarray(routing.occupied)
    dispatched = np.zeros_like(real)
    for group, expert, slot in zip(*np.nonzero(occupied), strict=True):
        dispatched[group, routing.token_index[group, expert, slot]] = True
    assert not (dispatched & ~real).any()
    dropped = float(slot_metrics(routing, real)["dropped_fraction"])
    if real.any():
        np.testing.assert_allclose(dispatched.sum() + dropped * real.sum(), real.sum(), rtol=1e-5)


@given(routings())
def test_capacity_is_never_exceeded_and_never_below_one(case):
    probabilities, real, factor, least, routing = case
    experts = probabilities.shape[2]
    limit = np.asarray(routing.expert_capacity)
    assert (limit >= 1).all()
    assert (np.asarray(routing.occupied).sum(2) <= limit[:, None]).all()
    for group, tokens in enumerate(real.sum(1)):
        expected = min(max(least, round(factor * tokens / experts)), max(tokens, 1))
        assert limit[group] == expected


@given(routings())
def test_a_token_sits_at_most_once_with_an_expert_and_gates_are_probabilities(case):
    probabilities, _, _, _, routing = case
    seen = set()
    for group, expert, slot in np.ndindex(*routing.gate.shape):
        gate = float(routing.gate[group, expert, slot])
        if not routing.occupied[group, expert, slot]:
            assert gate == 0
            continue
        token = int(routing.token_index[group, expert, slot])
        assert gate == probabilities[group, token, expert]
        assert (group, expert, token) not in seen
        seen.add((group, expert, token))


@pytest.mark.parametrize("router", ["experts_choose", "tokens_choose", "dropless"])
@given(seq=st.integers(2, 12), pads=st.integers(1, 8), seed=st.integers(0, 99))
def test_padding_changes_no_other_token_by_a_bit(router, seq, pads, seed):
    layer = layer_for(router)
    x, noise = tokens_of(2, seq, seed), tokens_of(2, pads, seed + 1)
    # Anywhere among the tokens.
    places = np.sort(np.random.default_rng(seed).permutation(seq + pads)[:seq])
    mask = np.zeros((2, seq + pads), bool)
    mask[:, places] = True
    outputs = []
    for filler in (noise, 100 * noise, 0 * noise):
        given_tokens = np.empty((2, seq + pads, D_MODEL), "float32")
        given_tokens[:, mask[0]], given_tokens[:, ~mask[0]] = x, filler
        outputs.append(np.asarray(layer(given_tokens, padding_mask=mask)))
    for output in outputs:
        np.testing.assert_array_equal(output[:, mask[0]], outputs[0][:, mask[0]])
        np.testing.assert_array_equal(output[:, ~mask[0]], 0)
    # Without the padding the products have other shapes, so only the last bits may differ.
    np.testing.assert_allclose(outputs[0][:, mask[0]], layer(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("router", ["experts_choose", "tokens_choose", "dropless"])
def test_padding_enters_no_loss_and_no_metric(router):
    layer = layer_for(router)
    x = tokens_of(2, 12, 0)
    mask = np.ones((2, 12), bool)
    mask[:, 8:] = False
    with observe_routing() as reports:
        layer(x, padding_mask=mask)
        layer(x[:, :8])
        MixtureOfExperts.from_config(layer.get_config())(x)
    padded, alone, _ = (metrics for _, metrics in reports)
    assert set(padded) >= {"dropped_fraction", "expert_usage", "router_entropy", "balance_loss"}
    for name in padded:
        np.testing.assert_allclose(padded[name], alone[name], rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("router", ["experts_choose", "tokens_choose"])
@given(
    batch=st.integers(2, 6),
    seq=st.integers(4, 9),
    selected=st.integers(1, 2),
    group_a_sequence=st.booleans(),
    seed=st.integers(0, 99),
)
def test_permuting_the_batch_permutes_the_output(
    router, batch, seq, selected, group_a_sequence, seed
):
    layer = layer_for(
        router,
        capacity_factor=0.5 / selected,
        num_selected_experts=selected,
        max_group_size=seq if group_a_sequence else 4096,
    )
    x = tokens_of(batch, seq, seed)
    order = np.random.default_rng(seed).permutation(batch)
    y = np.asarray(layer(x))
    assert (y == 0).all(-1).any(), "some token should be dropped, else the order hardly matters"
    np.testing.assert_allclose(layer(x[order]), y[order], rtol=1e-5, atol=1e-6)


@pytest.mark.tensorflow
@pytest.mark.parametrize("varying", [False, True], ids=["static", "varying"])
@pytest.mark.parametrize("router", ["experts_choose", "tokens_choose", "dropless"])
def test_no_tensor_is_as_large_as_every_expert_on_every_token(router, varying):
    import tensorflow as tf

    layer, x = layer_for(router, num_experts=8), tokens_of(4, 32, 0)

    @tf.function(autograph=False)
    def step(x):
        with varying_shapes(varying):
            return gradients(lambda x: (ops.sum(layer(x) ** 2), None), [x], layer.trainable_weights)

    graph = step.get_concrete_function(x).graph.as_graph_def(add_shapes=True)
    nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
    shapes = [shape for node in nodes for shape in node.attr["_output_shapes"].list.shape]
    sizes = [math.prod(d.size for d in shape.dim) for shape in shapes if not shape.unknown_rank]
    assert len(sizes) > 100
    assert max(sizes) < 8 * 4 * 32 * layer.d_ff / 3


@pytest.mark.parametrize("router", ["experts_choose", "tokens_choose", "dropless"])
@given(
    batch=st.integers(1, 3),
    seq=st.integers(1, 9),
    selected=st.integers(1, 3),
    group_size=st.integers(3, 30),
    factor=st.sampled_from([0.5, 1.0, 2.0]),
)
def test_gather_equals_einsum_forward_and_backward(
    router, batch, seq, selected, group_size, factor
):
    results = []
    for dispatch in ("gather", "einsum"):
        layer = layer_for(
            router,
            dispatch=dispatch,
            num_selected_experts=selected,
            max_group_size=group_size,
            capacity_factor=factor,
        )

        def loss(x, layer=layer):
            y = layer(x)
            return ops.sum(y**2) + sum(layer.losses), y

        y, found = gradients(loss, [tokens_of(batch, seq, 3)], layer.trainable_variables)
        results.append([y, *found])
    for gathered, multiplied in zip(*results, strict=True):
        np.testing.assert_allclose(gathered, multiplied, rtol=1e-4, atol=1e-5)


@given(
    groups=st.integers(1, 3),
    experts=st.integers(2, 8),
    tokens_per_expert=st.integers(1, 6),
    pads=st.integers(0, 5),
)
def test_balance_loss_is_one_for_uniform_top_one_routing(groups, experts, tokens_per_expert, pads):
    tokens = experts * tokens_per_expert
    probabilities = np.full((groups, tokens + pads, experts), 1 / experts, "float32")
    probabilities[:, np.arange(tokens), np.arange(tokens) % experts] += 1e-6
    # Padding would all go to the first one.
    probabilities[:, tokens:, 0] = 1
    real = np.broadcast_to(np.arange(tokens + pads) < tokens, (groups, tokens + pads))
    np.testing.assert_allclose(balance_loss(probabilities, real, 1), 1, rtol=1e-5)
    np.testing.assert_allclose(balance_loss(probabilities, real, 2), 2, rtol=1e-5)


def test_balance_loss_is_the_number_of_experts_when_one_takes_all():
    probabilities = np.zeros((1, 16, 4), "float32")
    probabilities[..., 2] = 1
    np.testing.assert_allclose(balance_loss(probabilities, np.ones((1, 16), bool), 1), 4)


@given(st.integers(1, 5000), st.integers(1, 600))
def test_groups_hold_all_tokens_and_none_exceeds_the_largest_size(tokens, largest):
    groups, size = group_shape(tokens, largest)
    assert size <= largest
    assert tokens <= groups * size < tokens + groups


def published_group_shape(tokens: int, largest: int) -> tuple[int, int]:
    """The rule of the published code."""
    groups = max(1, tokens // largest)
    while tokens % groups:
        groups += 1
    return groups, tokens // groups


def test_published_groups_may_exceed_the_largest_size():
    assert group_shape(12, 8) == (2, 6)
    assert published_group_shape(12, 8) == (1, 12)
    assert group_shape(12, 12) == (1, 12)


@given(st.integers(1, 5000), st.integers(1, 600))
def test_the_published_group_size_gives_the_published_groups(tokens, largest):
    groups, size = published_group_shape(tokens, largest)
    assert group_shape(tokens, size) == (groups, size)
    if tokens % largest == 0:
        assert group_shape(tokens, largest) == (groups, size)


def test_an_uneven_number_of_tokens_is_padded_and_comes_back():
    x = tokens_of(5, 7, 0)
    tokens, real = group_tokens(x, None, 12)
    assert tokens.shape == (3, 12, D_MODEL)
    assert np.asarray(real).sum() == 35
    np.testing.assert_array_equal(ungroup_tokens(tokens, x.shape), x)


CAPACITIES = [(20, 1.0, 5), (10, 1.0, 2), (14, 1.0, 4), (4, 0.1, 1), (2, 9.0, 2), (220, 1.1, 61)]


@pytest.mark.parametrize("tokens, factor, expected", CAPACITIES)
def test_capacity_rounds_half_to_even(tokens, factor, expected):
    assert expert_capacity(tokens, 4, factor, 1) == expected


@pytest.mark.tensorflow
@pytest.mark.parametrize("tokens, factor, expected", CAPACITIES)
def test_capacity_is_the_same_for_tensors(tokens, factor, expected):
    assert int(expert_capacity(ops.convert_to_tensor(tokens), 4, factor, 1)) == expected


def test_a_capacity_that_float32_would_round_down_is_the_published_one():
    probabilities, real = np.full((1, 110, 2), 0.5, "float32"), np.ones((1, 110), bool)
    by_experts = experts_choose(probabilities, real, 1.1, 1)
    by_tokens = tokens_choose(probabilities, real, 1, 1.1, 1, True)
    for routing in (by_experts, by_tokens):
        assert np.asarray(routing.expert_capacity).tolist() == [61]


def test_jitter_scales_what_the_router_sees_within_its_bounds_and_in_training_alone():
    router = Router(5, jitter_noise=0.2, use_bias=False)
    router.build((None, None, 5))
    router.kernel.assign(np.eye(5))
    x = 1 + np.random.default_rng(0).random((2, 50, 5), "float32")
    np.testing.assert_allclose(router(x), x, rtol=1e-6)
    factors, again = (np.asarray(router(x, training=True)) / x for _ in range(2))
    assert 0.8 <= factors.min() < 0.82 and 1.18 < factors.max() <= 1.2 + 1e-6
    assert (factors != again).mean() > 0.9


def test_evaluation_has_a_capacity_factor_of_its_own():
    layer = layer_for("experts_choose", capacity_factor=0.25, eval_capacity_factor=1.0)
    usage = []
    for training in (True, False):
        with observe_routing() as reports:
            layer(tokens_of(2, 16, 0), training=training)
        usage.append(float(reports[0][1]["dropped_fraction"]))
    assert usage[0] > usage[1]


def test_losses_are_added_and_their_gradient_reaches_the_router():
    layer = layer_for("tokens_choose", balance_loss_factor=0.5, router_z_loss_factor=0.25)
    x = tokens_of(2, 9, 0)

    def loss():
        with observe_routing() as reports:
            layer(x)
        return sum(layer.losses), (dict(reports), sum(layer.losses))

    (reports, total), (gradient,) = gradients(loss, variables=[layer.router.kernel])
    ((path, metrics),) = reports.items()
    assert path == layer.path
    expected = 0.5 * metrics["balance_loss"] + 0.25 * metrics["router_z_loss"]
    np.testing.assert_allclose(total, expected, rtol=1e-6)
    assert np.abs(gradient).max() > 1e-4


def test_the_load_of_experts_that_choose_is_weighed_by_their_gates():
    probabilities = np.full((1, 8, 2), 0.5, "float32")
    probabilities[..., 0], probabilities[..., 1] = 0.9, 0.1
    real = np.ones((1, 8), bool)
    routing = experts_choose(probabilities, real, 1.0, 1)
    even = slot_metrics(routing, real)
    weighed = slot_metrics(routing, real, weigh_by_gate=True)
    np.testing.assert_allclose(even["expert_load"], [0.5, 0.5])
    np.testing.assert_allclose(weighed["expert_load"], [0.9, 0.1], rtol=1e-6)
    assert float(even["load_cv"]) == 0.0 < float(weighed["load_cv"])
