"""Values weighted by the softmax of logits, with the gradient written by hand."""

from collections.abc import Callable

from keras import ops

# Added to a logit, it hides a key: finite in bfloat16 too, and a row of nothing else is uniform.
HIDDEN = -3e38


def weighted_values(logits, value, drop: Callable):
    """The last step of attention, `drop(softmax(logits)) @ value`.

    Of the gradient of a softmax, the sum over the keys of probability times gradient is that over
    the width of a head of output times gradient, so no pass over all the logits is spent on it.

    Args:
        logits: float32 [..., queries, keys].
        value: [..., keys, d_head].
        drop: multiplies [..., queries, keys] by numbers that stay the same from call to call, as
            dropout with its mask drawn.

    Returns:
        [..., queries, d_head], of the dtype of the values.

    References:
        [FlashAttention](https://arxiv.org/abs/2205.14135), appendix B.4
    """

    @ops.custom_gradient
    def run(logits, value):
        probabilities = ops.softmax(logits, axis=-1)
        weights = drop(ops.cast(probabilities, value.dtype))
        mixed = ops.matmul(weights, value)

        def gradient(*arguments, upstream=None):
            d_mixed = arguments[0] if upstream is None else upstream
            d_value = ops.einsum("...qk,...qd->...kd", weights, d_mixed)
            d_weights = drop(ops.einsum("...qd,...kd->...qk", d_mixed, value))
            total = ops.sum(ops.cast(mixed * d_mixed, logits.dtype), axis=-1, keepdims=True)
            return probabilities * (ops.cast(d_weights, logits.dtype) - total), d_value

        return mixed, gradient

    return run(logits, value)
