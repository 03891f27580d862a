"""Linear functions whose gradient is written by hand."""

from collections.abc import Callable

from keras import ops


def linear_map(function: Callable, transposed: Callable, x):
    """`function(x)`, for whose gradient `transposed` is taken.

    Args:
        function: a linear function of one tensor.
        transposed: the product with its transposed matrix.
        x: a tensor.
    """

    @ops.custom_gradient
    def run(x):
        def gradient(*arguments, upstream=None):
            return transposed(arguments[0] if upstream is None else upstream)

        return function(x), gradient

    return run(x)
