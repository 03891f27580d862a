"""Bidirectional multi-head self-attention.

What attention does once it has its scores: softmax, dropout, and the mean of the values.
"""

from collections.abc import Callable

import keras
from keras import ops

from sparse_mixer_tf.layers.dropout import Dropout
from sparse_mixer_tf.layers.initializers import dense
from sparse_mixer_tf.layers.intermediates import observed, report


@keras.saving.register_keras_serializable(package="sparse_mixer_tf")
class SelfAttention(keras.layers.Layer):
    """Every token attends to every real token; softmax in float32.

    One dropout mask on the attention probabilities is shared over batch and heads, as in the
    published models: one [seq, seq] mask instead of batch x heads of them.

    Args:
        num_heads: number of heads; divides the width of the input.
        dropout_rate: dropout on the attention probabilities.
        mask_padded_queries: let a query that is padding attend to all keys evenly, padding
            included, as in the published code. Otherwise it attends to the real keys. The outputs
            of real tokens are the same, but mixing sublayers that follow read the rows of padding
            too, so a model that was trained with it needs it.
    """

    def __init__(
        self,
        num_heads: int,
        dropout_rate: float = 0.0,
        mask_padded_queries: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.dropout_rate = dropout_rate
        self.mask_padded_queries = mask_padded_queries
        self.dropout = Dropout(
            dropout_rate, noise_shape=(1, 1, None, None), name="dropout", dtype=self.dtype_policy
        )

    def build(self, input_shape):
        d_model = input_shape[-1]
        if d_model % self.num_heads:
            raise ValueError(
                f"d_model={d_model} is not divisible by num_heads={self.num_heads}; "
                "choose --num_heads among its divisors"
            )
        for name in ("query", "key", "value", "out"):
            projection = dense(d_model, name, self.dtype_policy)
            projection.build(input_shape)
            setattr(self, name, projection)

    def call(self, x, padding_mask=None, training=None):
        """Mixes tokens by attention.

        Args:
            x: [batch, seq, d_model].
            padding_mask: bool [batch, seq], true on real tokens; all are real where `None`.
            training: whether to drop out.

        Returns:
            [batch, seq, d_model].
        """
        query, key, value = (self._heads(f(x)) for f in (self.query, self.key, self.value))
        scale = (x.shape[-1] // self.num_heads) ** -0.5
        logits = ops.cast(ops.matmul(query * scale, ops.swapaxes(key, -1, -2)), "float32")
        if padding_mask is not None:
            visible = padding_mask[:, None, None, :]
            if self.mask_padded_queries:
                visible = ops.logical_and(visible, padding_mask[:, None, :, None])
            # The lowest finite number: a row in which nothing is visible becomes uniform, not NaN.
            logits = ops.where(visible, logits, -3.4028235e38)
        if observed("attention"):
            report("attention", self.path, ops.softmax(logits, axis=-1))
        mixed = weighted_values(logits, value, self.dropout.with_one_mask(training))
        return self.out(ops.reshape(ops.swapaxes(mixed, 1, 2), ops.shape(x)))

    def _heads(self, x):
        # Shape: [batch, seq, d_model] -> [batch, heads, seq, d_head]
        batch, seq, d_model = ops.shape(x)
        x = ops.reshape(x, (batch, seq, self.num_heads, d_model // self.num_heads))
        return ops.swapaxes(x, 1, 2)

    def compute_output_shape(self, x_shape, padding_mask_shape=None):
        return x_shape

    def get_config(self):
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "dropout_rate": self.dropout_rate,
            "mask_padded_queries": self.mask_padded_queries,
        }


def weighted_values(logits, value, drop: Callable):
    """`drop(softmax(logits)) @ value`, differentiated by hand.

    The gradient of a softmax takes from each of its rows the mean of what arrives there. That mean
    is also the product of a query's output with the output's gradient, dropout or not: d_head
    numbers to read for each query instead of as many as there are keys.

    Args:
        logits: float32 [..., queries, keys].
        value: [..., keys, d_head].
        drop: multiplies [..., queries, keys] by a mask, the same one each time it is called, as
            `Dropout.with_one_mask` gives it.

    Returns:
        [..., queries, d_head], in the dtype of the values.

    References:
        [FlashAttention](https://arxiv.org/abs/2205.14135), appendix B.2, for the gradient.
    """

    @ops.custom_gradient
    def run(logits, value):
        def whole(x):
            return ops.cast(x, logits.dtype)

        probabilities = ops.cast(ops.softmax(logits, axis=-1), value.dtype)
        kept = drop(probabilities)
        mixed = ops.matmul(kept, value)

        def gradient(*arguments, upstream=None):
            d_mixed = arguments[0] if upstream is None else upstream
            d_kept = ops.matmul(d_mixed, ops.swapaxes(value, -1, -2))
            means = ops.sum(whole(d_mixed) * whole(mixed), axis=-1, keepdims=True)
            d_logits = whole(probabilities) * (whole(drop(d_kept)) - means)
            return d_logits, ops.matmul(ops.swapaxes(kept, -1, -2), d_mixed)

        return mixed, gradient

    return run(logits, value)
