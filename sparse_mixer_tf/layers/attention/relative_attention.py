"""Causal self-attention over a block and the memory before it, by relative position.

Learned relative positions.
"""

import keras
from keras import ops

from sparse_mixer_tf.layers.attention.adaptive_span import AdaptiveSpan, renormalized
from sparse_mixer_tf.layers.attention.relative_shift import (
    attended_rows,
    chunk_size,
    in_chunks,
    overlapping_windows,
    skew,
    unskew,
)
from sparse_mixer_tf.layers.dropout import Dropout
from sparse_mixer_tf.layers.initializers import KERNEL_STDDEV, check_style, dense
from sparse_mixer_tf.layers.intermediates import observed, report

# Added to a score, it hides a row; finite in bfloat16 too.
HIDDEN = -3e38


@keras.saving.register_keras_serializable(package="sparse_mixer_tf")
class RelativeSelfAttention(keras.layers.Layer):
    """Every token attends to the `attn_span` tokens before it, wherever they are stored.

    Which tokens those are follows from where the rows lie, not from a causal mask. Rows of memory
    that were never filled are zeros: keys and values of zero that take their share of the softmax.

    `attended_span`, an int that may be set at any time, makes the layer look at the nearest slots
    alone; functions compiled before keep the old number. Memory keeps its full length.

    Args:
        num_heads: number of heads; divides the width of the input.
        attn_span: distances that a token sees.
        dropout_rate: dropout on the attention probabilities.
        attend_to_self: distances are 0 to `attn_span` - 1 instead of 1 to `attn_span`.
        adaptive_span: an `AdaptiveSpan`, or None for a fixed span.
        initializer: `normal` or `torch`, see `initialization.dense`.

    References:
        [Adaptive attention span](https://arxiv.org/abs/1905.07799)
    """

    def __init__(
        self,
        num_heads: int,
        attn_span: int,
        dropout_rate: float = 0.0,
        attend_to_self: bool = False,
        adaptive_span: AdaptiveSpan | None = None,
        initializer: str = "normal",
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_style(initializer)
        self.num_heads = num_heads
        self.attn_span = attn_span
        self.dropout_rate = dropout_rate
        self.attend_to_self = attend_to_self
        self.adaptive_span = adaptive_span
        self.initializer = initializer
        self.attended_span = attn_span
        self.dropout = Dropout(dropout_rate, name="dropout", dtype=self.dtype_policy)

    def build(self, x_shape, memory_shape=None, position_table_shape=None):
        d_model = x_shape[-1]
        if d_model % self.num_heads:
            raise ValueError(
                f"d_model={d_model} is not divisible by num_heads={self.num_heads}; "
                "choose --num_heads among its divisors"
            )
        for name in ("query", "key", "value", "out"):
            projection = dense(
                d_model, name, self.dtype_policy, self.initializer, d_model, use_bias=False
            )
            projection.build((None, None, d_model))
            setattr(self, name, projection)
        if self.adaptive_span is not None and not self.adaptive_span.built:
            self.adaptive_span.build()

    def call(self, x, memory, position_table, training=None):
        """Attends from a block to the tokens before it.

        Args:
            x: [batch, block, d_model].
            memory: [batch, rows, d_model], what came before, the latest row last. Rows that are
                missing to a whole span count as zeros.
            position_table: [attn_span, d_model / num_heads], the nearest distance last.
            training: whether to drop out.

        Returns:
            [batch, block, d_model].
        """
        span = self.attended_span
        # Block and memory are projected apart: only the block has a gradient to hand on.
        memory = memory[:, -span:]
        key, value = (
            attended_rows(project(x), project(memory), span, self.attend_to_self)
            for project in (self.key, self.value)
        )
        query, key, value = (split_heads(y, self.num_heads) for y in (self.query(x), key, value))
        chunk = chunk_size(x.shape[1], span)
        if chunk is not None:
            query = in_chunks(query, chunk)
            key, value = (overlapping_windows(y, chunk, span) for y in (key, value))
        span_mask = None if self.adaptive_span is None else self._span_mask(query, span)
        probabilities = _probabilities(query, key, position_table[-span:], span_mask)
        if observed("attention"):
            shape = (-1, self.num_heads, x.shape[1], span)
            report("attention", self.path, ops.reshape(unskew(probabilities, span), shape))
        probabilities = self.dropout(ops.cast(probabilities, value.dtype), training=training)
        mixed = ops.matmul(probabilities, value)
        return self.out(merge_heads(mixed, ops.shape(x)))

    def _span_mask(self, query, span: int):
        """The learned mask with the axes of the scores: [1, heads, ..., rows, span + rows]."""
        _, heads, *chunks, rows, _ = ops.shape(query)
        mask = self.adaptive_span.skewed_mask(rows, span)
        return ops.reshape(mask, (1, heads, *(1 for _ in chunks), rows, span + rows))

    def compute_output_shape(self, x_shape, memory_shape=None, position_table_shape=None):
        return x_shape

    def get_config(self):
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "attn_span": self.attn_span,
            "dropout_rate": self.dropout_rate,
            "attend_to_self": self.attend_to_self,
            "adaptive_span": keras.saving.serialize_keras_object(self.adaptive_span),
            "initializer": self.initializer,
        }

    @classmethod
    def from_config(cls, config):
        span = keras.saving.deserialize_keras_object(config["adaptive_span"])
        return cls(**{**config, "adaptive_span": span})


def _probabilities(query, key, position_table, span_mask):
    """Return the attention probabilities of each query.

    Args:
        query: [batch, heads, ..., rows, d_head].
        key: [batch, heads, ..., span + rows, d_head].
        position_table: [span, d_head].
        span_mask: see `AdaptiveSpan.skewed_mask`, or None.

    Returns:
        float32 [batch, heads, ..., rows, span + rows].
    """
    query = query * query.shape[-1] ** -0.5
    # Only the scores of positions are moved, to where the rows lie, and bring with them what
    # hides the rest; that costs less than moving the other scores and the probabilities.
    position = skew(ops.matmul(query, ops.transpose(position_table)), elsewhere=HIDDEN)
    logits = ops.matmul(query, ops.swapaxes(key, -1, -2)) + position
    probabilities = ops.softmax(ops.cast(logits, "float32"), axis=-1)
    return probabilities if span_mask is None else renormalized(probabilities, span_mask)


def split_heads(x, num_heads: int):
    """[batch, rows, d_model] to [batch, heads, rows, d_head]."""
    batch, rows, d_model = ops.shape(x)
    return ops.swapaxes(ops.reshape(x, (batch, rows, num_heads, d_model // num_heads)), 1, 2)


def merge_heads(x, shape):
    """Undoes `split_heads`, and cutting into chunks, to (batch, block, d_model)."""
    batch, block, d_model = shape
    x = ops.reshape(x, (batch, x.shape[1], block, x.shape[-1]))
    return ops.reshape(ops.swapaxes(x, 1, 2), (batch, block, d_model))


@keras.saving.register_keras_serializable(package="sparse_mixer_tf")
class PositionTable(keras.layers.Layer):
    """One learned vector for each distance, shared by all heads and layers.

    Args:
        attn_span: number of distances.
        d_head: width of a head.
        initializer: `normal` (standard deviation 0.02) or `torch` (1).
    """

    def __init__(self, attn_span: int, d_head: int, initializer: str = "normal", **kwargs):
        super().__init__(**kwargs)
        check_style(initializer)
        self.attn_span = attn_span
        self.d_head = d_head
        self.initializer = initializer

    def build(self, input_shape=None):
        stddev = 1.0 if self.initializer == "torch" else KERNEL_STDDEV
        self.table = self.add_weight(
            name="table",
            shape=(self.attn_span, self.d_head),
            initializer=keras.initializers.RandomNormal(stddev=stddev),
        )

    def call(self, inputs):
        """The table [attn_span, d_head], whatever the inputs, which place it in a model's graph."""
        return ops.cast(self.table, self.compute_dtype)

    def compute_output_spec(self, inputs):
        return keras.KerasTensor((self.attn_span, self.d_head), self.compute_dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "attn_span": self.attn_span,
            "d_head": self.d_head,
            "initializer": self.initializer,
        }
