"""Attention by a few heads after the others: the numbers of all at once, in smaller pieces."""

import keras
import numpy as np
import pytest
from keras import ops

from sparse_mixer_tf.layers import (
    AdaptiveSpan,
    RelativeSelfAttention,
    observe_attention,
    random_key,
)
from sparse_mixer_tf.layers.attention.heads_in_turn import SCORES_AT_ONCE, heads_at_once
from sparse_mixer_tf.layers.tracing import made_for, varying_shapes
from tests.layers.backend import gradients
from tests.long_cases import long_cases

D_MODEL, HEADS, BATCH = 16, 4, 3


def make(span: int, adaptive: bool = False, dropout_rate: float = 0.0) -> RelativeSelfAttention:
    keras.utils.set_random_seed(5)
    learned = AdaptiveSpan(HEADS, span, ramp=4) if adaptive else None
    layer = RelativeSelfAttention(HEADS, span, dropout_rate, adaptive_span=learned)
    layer.build((None, None, D_MODEL))
    if adaptive:
        learned.reach.assign([0.1, 0.9, 0.4, 0.6])
    return layer


def sample(block: int, span: int) -> list:
    rng = np.random.default_rng(0)
    shapes = ((BATCH, block, D_MODEL), (BATCH, span, D_MODEL), (span, D_MODEL // HEADS))
    return [rng.standard_normal(shape).astype("float32") for shape in shapes]


def cut_into(heads: int | None, monkeypatch) -> None:
    monkeypatch.setattr(
        "sparse_mixer_tf.layers.attention.heads_in_turn.heads_at_once", lambda *_: heads
    )


@pytest.mark.parametrize("dropout_rate", [0.3, *long_cases(0.0)])
@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize("block, span, heads", [(144, 16, 2), *long_cases((12, 8, 1), (12, 8, 4))])
def test_pieces_give_the_numbers_of_the_whole(
    block, span, heads, adaptive, dropout_rate, monkeypatch
):
    layer, arrays = make(span, adaptive, dropout_rate), sample(block, span)

    def loss(*arrays):
        with random_key(np.array([1, 2], "uint32")):
            y = layer(*arrays, training=True)
        return ops.sum(y**3), y

    cut_into(None, monkeypatch)
    whole, of_whole = gradients(loss, arrays, layer.trainable_variables)
    cut_into(heads, monkeypatch)
    pieces, of_pieces = gradients(loss, arrays, layer.trainable_variables)
    np.testing.assert_allclose(pieces, whole, rtol=1e-5, atol=1e-6)
    for found, expected in zip(of_pieces, of_whole, strict=True):
        scale = np.abs(expected).max()
        np.testing.assert_allclose(found, expected, atol=1e-5 * scale)
        assert scale > 0


def test_as_many_heads_at_once_as_their_scores_fit():
    with varying_shapes(), made_for("cpu"):
        rows = SCORES_AT_ONCE // 1024
        assert heads_at_once((2, 8, rows, 16), 128) == 8
        assert heads_at_once((2, 8, rows, 16), 256) == 4
        assert heads_at_once((2, 8, rows, 16), 257) == 2
        assert heads_at_once((2, 6, rows, 16), 256) == 3
        # Chunks of a block are rows as well.
        assert heads_at_once((2, 8, 2, rows, 16), 256) == 2
        # A head is not cut.
        assert heads_at_once((2, 8, rows, 16), 4096) == 1
        assert heads_at_once((None, 8, rows, 16), 256) is None
        with made_for("gpu"):
            assert heads_at_once((2, 8, rows, 16), 256) is None
    # XLA, and every function of JAX.
    assert heads_at_once((2, 8, rows, 16), 256) is None


@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.tensorflow
def test_no_tensor_of_a_step_holds_the_scores_of_two_sequences(adaptive):
    import tensorflow as tf

    block, span = 12, 8
    layer, arrays = make(span, adaptive, dropout_rate=0.1), sample(block, span)

    def loss(*arrays):
        y = layer(*arrays, training=True)
        return ops.sum(y**2), None

    @tf.function(autograph=False)
    def step(*arrays):
        with varying_shapes(), made_for("cpu"):
            return gradients(loss, arrays, layer.trainable_variables)

    with random_key(np.array([1, 2], "uint32")):
        graph = step.get_concrete_function(*map(tf.constant, arrays)).graph
    sizes = [t.shape.num_elements() or 0 for op in graph.get_operations() for t in op.outputs]
    # One column more while rows are shifted against each other.
    assert max(sizes) <= HEADS * block * (block + span + 1)


def test_who_observes_attention_sees_all_heads_of_all_sequences(monkeypatch):
    cut_into(2, monkeypatch)
    with observe_attention() as observed:
        make(8)(*sample(12, 8))
    assert [found.shape for _, found in observed] == [(BATCH, HEADS, 12, 8)]
