"""Routing without capacity: every token reaches all of its experts, however that is done."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import ops

from sparse_mixer_tf.layers import random_key
from sparse_mixer_tf.layers.activations import ACTIVATIONS
from sparse_mixer_tf.layers.moe import grouped_matmul
from sparse_mixer_tf.layers.moe.grouped_matmul import overhang, runs_of
from sparse_mixer_tf.layers.moe.permutation import (
    choose,
    first_slots,
    slot_of_choice,
    slots_in_use,
    slots_per_expert,
)
from sparse_mixer_tf.layers.tracing import shapes_may_vary, varying_shapes
from tests.layers.backend import compiled, gradients
from tests.layers.small_moe import D_MODEL, layer_for, tokens_of
from tests.long_cases import long_cases

# Shapes vary in TensorFlow's graphs alone.
VARYING = pytest.param(True, marks=pytest.mark.tensorflow, id="varying")
in_both_ways = pytest.mark.parametrize("varying", [pytest.param(False, id="static"), VARYING])


def loop_over_tokens(layer, x, mask, selected):
    """Return dropless routing, one token and one expert at a time, in float64."""
    router, experts = layer.router, layer.experts
    kernels = [np.asarray(v, "float64") for v in experts.trainable_variables]
    y = np.zeros(x.shape)
    for place in zip(*np.nonzero(mask), strict=True):
        token = x[place].astype("float64")
        logits = token @ np.asarray(router.kernel) + np.asarray(router.bias)
        probabilities = np.exp(logits - logits.max())
        probabilities /= probabilities.sum()
        for expert in np.argsort(-probabilities)[:selected]:
            kernel_in, bias_in, kernel_out, bias_out = (kernel[expert] for kernel in kernels)
            h = token @ kernel_in + bias_in
            h = 0.5 * h * (1 + np.tanh(np.sqrt(2 / np.pi) * (h + 0.044715 * h**3)))
            y[place] += probabilities[expert] * (h @ kernel_out + bias_out)
    return y


@in_both_ways
@pytest.mark.parametrize("favour", [0.0, 1.0, 100.0])
@given(seq=st.integers(1, 20), selected=st.integers(1, 4), seed=st.integers(0, 99))
def test_dropless_equals_a_plain_loop_over_tokens(varying, favour, seq, selected, seed):
    layer = layer_for("dropless", num_selected_experts=selected)
    layer.router.bias.assign([favour, 0, 0, 0])
    x = tokens_of(2, seq, seed)
    mask = np.random.default_rng(seed).random((2, seq)) < 0.9
    expected = loop_over_tokens(layer, x, mask, selected)
    with varying_shapes(varying):
        y = layer(x, padding_mask=mask)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4)


@given(
    tokens=st.integers(1, 40),
    experts=st.integers(2, 6),
    scale=st.sampled_from([0.1, 1.0, 50.0]),
    seed=st.integers(0, 99),
)
def test_slots_and_runs_of_dropless_hold_every_choice_once(tokens, experts, scale, seed):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(tokens, experts)).astype("float32") * scale
    logits[:, 0] += scale
    selected = int(rng.integers(1, experts + 1))
    real = rng.random(tokens) < 0.9
    choices, _ = choose(np.asarray(ops.softmax(logits)), real, selected)
    capacity = slots_per_expert(selected * tokens, experts)
    in_use = slots_in_use(choices, capacity)
    slots = first_slots(choices, tokens, capacity)
    slot, sits = (np.asarray(x) for x in slot_of_choice(choices, capacity, in_use))
    held = [(n, slot[n] // capacity) for n in np.flatnonzero(sits)]
    assert [int(np.ravel(slots.choice)[slot[n]]) for n, _ in held] == [n for n, _ in held]
    places = selected * tokens + overhang(selected * tokens, experts)
    for runs in runs_of(choices, in_use, selected * tokens):
        for index in range(int(runs.number)):
            expert, place, rows = (int(x) for x in runs.at(index))
            assert 0 < rows <= runs.rows and place + runs.rows <= places
            held += [(int(n), expert) for n in choices.number[place : place + rows]]
    expected = [(n, e) for n, e in enumerate(np.asarray(choices.expert)) if e < experts]
    assert sorted(held) == expected


@pytest.mark.parametrize(("experts", "tokens"), [(4, 3), *long_cases((2, 12), (5, 40))])
def test_dropless_compiles_however_few_experts_and_tokens_there_are(experts, tokens):
    layer = layer_for("dropless", num_experts=experts)
    x = tokens_of(1, tokens, 4)
    np.testing.assert_allclose(compiled(layer)(x), layer(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("varying", "small_kernel"),
    [
        pytest.param(False, 0, id="static"),
        pytest.param(True, 2**17, id="varying, small kernels", marks=pytest.mark.tensorflow),
        pytest.param(True, 0, id="varying, large kernels", marks=pytest.mark.tensorflow),
    ],
)
@pytest.mark.parametrize("activation", ["gelu", "gelu_exact", "relu"])
@pytest.mark.parametrize("favour", [0.0, 100.0])
def test_gradients_equal_those_of_every_expert_on_every_token(
    monkeypatch, varying, small_kernel, activation, favour
):
    monkeypatch.setattr(grouped_matmul, "_SMALL_KERNEL", small_kernel)
    layer = layer_for("dropless", num_selected_experts=2, activation=activation)
    layer.router.bias.assign([favour, 0, 0, 0])
    x = tokens_of(3, 7, 4)
    mask = np.random.default_rng(1).random((3, 7)) < 0.8
    cotangent = tokens_of(3, 7, 5)

    def by_all_experts(x):
        tokens = ops.reshape(x, (-1, D_MODEL))
        probabilities = ops.softmax(layer.router(tokens[None])[0])
        best, expert = ops.top_k(probabilities, 2)
        weight = ops.sum(ops.one_hot(expert, 4) * best[..., None], axis=1) * mask.reshape(-1, 1)
        outputs = layer.experts(ops.broadcast_to(tokens, (4, *tokens.shape)))
        return ops.reshape(ops.einsum("etd,te->td", outputs, weight), x.shape)

    results = []
    for forward in (by_all_experts, lambda x: layer(x, padding_mask=mask)):

        def loss(x, forward=forward):
            y = forward(x)
            return ops.sum(y * cotangent), y

        with varying_shapes(varying):
            y, found = gradients(loss, [x], layer.trainable_variables)
        results.append([y, *found])
    for expected, actual in zip(*results, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


@in_both_ways
def test_inner_dropout_drops_the_same_elements_forward_and_backward(varying):
    layer = layer_for("dropless", num_selected_experts=2, inner_dropout_rate=0.5)
    layer.router.bias.assign([100.0, 0, 0, 0])
    x = tokens_of(2, 9, 6).astype("float32")
    direction = 1e-3 * tokens_of(2, 9, 7)

    def run(x):
        with varying_shapes(varying), random_key(np.array([1, 2], "uint32")):
            return layer(x, training=True)

    _, (found,) = gradients(lambda x: (ops.sum(run(x)), None), [x])
    slope = float(ops.sum(found * direction))
    rise = float(ops.sum(run(x + direction) - run(x - direction)) / 2)
    assert abs(slope) > 1e-3
    np.testing.assert_allclose(rise, slope, rtol=2e-2)


@pytest.mark.tensorflow
def test_experts_in_turn_get_the_rows_that_chose_them_and_no_more(monkeypatch):
    gelu, served = ACTIVATIONS["gelu"], []

    def watched(x):
        served.append(x.shape[0])
        return gelu.function(x)

    monkeypatch.setitem(ACTIVATIONS, "gelu", gelu._replace(function=watched))
    mask = np.arange(9) < np.array([[9], [5]])
    with varying_shapes():
        layer_for("dropless", num_selected_experts=2)(tokens_of(2, 9, 6), padding_mask=mask)
    assert len(served) == 4 and sum(served) == 2 * mask.sum()


def test_shapes_vary_inside_of_a_block_that_allows_it_alone():
    assert not shapes_may_vary()
    with varying_shapes(), varying_shapes(False):
        assert shapes_may_vary()
    with varying_shapes(False):
        assert not shapes_may_vary()
