"""What attention does once it has its scores: softmax, dropout, and the mean of the values."""

from collections.abc import Callable

from keras import ops


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
