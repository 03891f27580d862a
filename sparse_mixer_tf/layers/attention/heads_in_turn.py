"""Attention by a few heads of one sequence after the other, whose scores a CPU's cache holds."""

import math
from collections.abc import Callable

from keras import ops

from sparse_mixer_tf.layers.intermediates import observed
from sparse_mixer_tf.layers.tracing import device_kind, shapes_may_vary

# Scores of a few heads. Training steps of a Brainformer (2 cores, float32) take 3 to 9% less time
# than with all heads at once; cut into single heads, wide spans gain a third of that.
SCORES_AT_ONCE = 3 * 2**19


def heads_in_turn(attend: Callable, query, key, value, of_heads: tuple = ()):
    """`attend(0, query, key, value, *of_heads)`, computed piece by piece where that is faster.

    Args:
        attend: `attend(first_row, query, key, value, *of_heads)` to [batch, num_heads, ...]. Of a
            piece, the arrays are [1, heads, ...] and `first_row` rows of queries come before it.
        query: [batch, num_heads, ..., rows, d_head].
        key: [batch, num_heads, ..., columns, d_head].
        value: of the same shape.
        of_heads: arrays [1, num_heads, ...], the same for every sequence.

    Returns:
        [batch, num_heads, ...].
    """
    heads = heads_at_once(query.shape, key.shape[-2])
    if heads is None or observed("attention"):
        return attend(0, query, key, value, *of_heads)
    batch, num_heads, *rows, _ = query.shape
    apart = zip(*(_pieces(x, heads) for x in (query, key, value)), strict=True)
    repeated = list(zip(*(_pieces(x, heads) for x in of_heads), strict=True)) or [()]
    given = [
        attend(number * heads * math.prod(rows), *piece, *repeated[number % len(repeated)])
        for number, piece in enumerate(apart)
    ]
    return ops.reshape(ops.concatenate(given, axis=0), (batch, num_heads, *given[0].shape[2:]))


def heads_at_once(shape: tuple, columns: int) -> int | None:
    """How many heads of a sequence make a piece.

    Args:
        shape: of the queries, (batch, num_heads, ..., rows, d_head).
        columns: scores of a query.

    Returns:
        A divisor of `num_heads`; None where everything should stay together: under a compiler,
        which orders the work itself, on other devices, and where a size is not known.
    """
    _, num_heads, *rows, _ = shape
    if not shapes_may_vary() or device_kind() != "cpu" or None in shape:
        return None
    scores = math.prod(rows) * columns
    divisors = (n for n in range(num_heads, 0, -1) if num_heads % n == 0)
    return next((n for n in divisors if n * scores <= SCORES_AT_ONCE), 1)


def _pieces(x, heads: int) -> list:
    batch, num_heads, *rest = x.shape
    count = batch * num_heads // heads
    # Along the first axis, where a piece is no copy.
    return ops.split(ops.reshape(x, (count, heads, *rest)), count, axis=0)
