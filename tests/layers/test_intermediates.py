"""Observed intermediates of a layer add up to its output."""

import keras
import numpy as np
import pytest
from keras import ops

from sparse_mixer_tf.layers import (
    MixtureOfExperts,
    RelativeSelfAttention,
    SelfAttention,
    observe_assignments,
    observe_attention,
    observe_routing,
)
from sparse_mixer_tf.layers.attention.relative_attention import split_heads
from sparse_mixer_tf.layers.attention.relative_shift import attended_rows
from sparse_mixer_tf.layers.moe import layer as moe

BATCH, SEQ, D_MODEL, HEADS = 3, 8, 6, 2
MASK = np.arange(SEQ) < np.array([[SEQ], [5], [2]])
ROUTERS = {
    "experts_choose": {"router": "experts_choose"},
    "tokens_choose": {"router": "tokens_choose", "num_selected_experts": 2},
    "dropless": {"router": "dropless", "num_selected_experts": 2},
    "brainformer": {"router": "dropless", "num_selected_experts": 2, "gate": "top_k"},
    "gshard": {"router": "dropless", "num_selected_experts": 2, "gate": "gshard"},
}


def sample(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


def experts(**routing):
    keras.utils.set_random_seed(4)
    settings = {"num_experts": 4, "min_expert_capacity": 1, "max_group_size": 10} | routing
    layer = MixtureOfExperts(10, settings)
    layer.build((BATCH, SEQ, D_MODEL))
    layer.router.kernel.assign(sample(D_MODEL, 4, seed=1))
    return layer


@pytest.mark.parametrize("router", ROUTERS)
def test_the_output_is_every_expert_on_every_token_times_the_observed_gates(router):
    layer, x = experts(**ROUTERS[router]), sample(BATCH, SEQ, D_MODEL)
    with observe_assignments() as seen:
        y = layer(x, padding_mask=MASK)
    ((path, gates),) = seen
    assert path == layer.path and gates.shape == (BATCH, SEQ, 4)
    everywhere = ops.broadcast_to(ops.reshape(x, (1, -1, D_MODEL)), (4, BATCH * SEQ, D_MODEL))
    outputs = ops.reshape(layer.experts(everywhere), (4, BATCH, SEQ, D_MODEL))
    np.testing.assert_allclose(ops.einsum("bte,ebtd->btd", gates, outputs), y, atol=1e-5)
    assert np.any(gates > 0) and not np.any(np.asarray(gates)[~MASK])


@pytest.mark.parametrize("router", ["experts_choose", "dropless"])
def test_the_table_of_gates_is_not_made_where_nobody_asks_for_it(router, monkeypatch):
    def refuse(*_):
        raise AssertionError("made all the same")

    for name in ("gates_of_slots", "gates_of_choices"):
        monkeypatch.setattr(moe, name, refuse)
    layer, x = experts(**ROUTERS[router]), sample(BATCH, SEQ, D_MODEL)
    with observe_routing():
        layer(x)
    with pytest.raises(AssertionError, match="all the same"), observe_assignments():
        layer(x)


def test_bidirectional_attention_shows_the_probabilities_that_it_mixes_by():
    layer, x = SelfAttention(HEADS), sample(BATCH, SEQ, D_MODEL)
    with observe_attention() as seen:
        y = layer(x, padding_mask=MASK)
    ((_, probabilities),) = seen
    assert probabilities.shape == (BATCH, HEADS, SEQ, SEQ)
    assert not np.any(np.asarray(probabilities) * ~MASK[:, None, None])
    mixed = ops.matmul(probabilities, split_heads(layer.value(x), HEADS))
    by_hand = layer.out(ops.reshape(ops.transpose(mixed, (0, 2, 1, 3)), x.shape))
    np.testing.assert_allclose(by_hand, y, atol=1e-5)


@pytest.mark.parametrize(
    ("block", "span", "to_self"),
    [(5, 7, False), (12, 6, True), (9, 3, False), (96, 8, True), (90, 6, False)],
)
def test_relative_attention_shows_probabilities_by_distance_cut_into_chunks_or_not(
    block, span, to_self
):
    layer = RelativeSelfAttention(HEADS, span, attend_to_self=to_self)
    layer.build((None, None, D_MODEL))
    x, memory = sample(2, block, D_MODEL), sample(2, span, D_MODEL, seed=1)
    with observe_attention() as seen:
        y = layer(x, memory, sample(span, D_MODEL // HEADS, seed=2))
    ((_, probabilities),) = seen
    assert probabilities.shape == (2, HEADS, block, span)
    value = split_heads(layer.value(attended_rows(x, memory, span, to_self)), HEADS)
    windows = ops.stack([value[:, :, i : i + span] for i in range(block)], axis=2)
    mixed = ops.einsum("bhis,bhisd->bihd", probabilities, windows)
    np.testing.assert_allclose(layer.out(ops.reshape(mixed, x.shape)), y, atol=1e-5)


def test_blocks_within_blocks_see_their_own_calls_alone():
    layer, x = experts(), sample(BATCH, SEQ, D_MODEL)
    with observe_assignments() as outer:
        layer(x)
        with observe_assignments() as inner:
            layer(x)
            layer(x)
    assert len(outer) == 1 and len(inner) == 2
    layer(x)
    assert len(outer) == 1
