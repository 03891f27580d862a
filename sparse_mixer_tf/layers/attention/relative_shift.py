"""The rows that each query of a block sees: relative shift by padding and reshaping."""

import math

from keras import ops

from sparse_mixer_tf.layers.custom_gradients import linear_map

# A row's copies, there and back, take as long as so many scores of it: measured on a CPU, from
# 4 x 256 rows and a span of 512 to 8 x 512 and 1,024, in graph mode; under XLA cutting gains more.
SCORES_PER_COPY = 32


def attended_rows(x, memory, span: int, attend_to_self: bool):
    """The rows that a block sees: query i sees those from i on, as many as the span.

    Args:
        x: [batch, block, d_model].
        memory: [batch, rows, d_model], no more rows than the span.
        span: int.
        attend_to_self: the last row that a query sees is its own, not the one before.

    Returns:
        [batch, span + block, d_model]. The last row is seen by nobody; it makes the rows a whole
        number of chunks.
    """
    missing = span - memory.shape[1]
    if missing:
        memory = ops.pad(memory, [[0, 0], [missing, 0], [0, 0]])
    rows = ops.concatenate([memory, x], axis=1)
    return ops.pad(rows[:, 1:], [[0, 0], [0, 1], [0, 0]]) if attend_to_self else rows


def remember(memory, x):
    """The memory after a block: the latest rows of both, without gradient.

    Args:
        memory: [batch, span, d_model].
        x: [batch, block, d_model].

    Returns:
        [batch, span, d_model].
    """
    rows = ops.concatenate([memory, ops.cast(x, memory.dtype)], axis=1)
    return ops.stop_gradient(rows[:, -memory.shape[1] :])


def chunk_size(block: int | None, span: int) -> int | None:
    """Queries that share a window of keys, where a block is worth cutting.

    Uncut, `block` x (`block` + `span`) scores are computed, of which `span` a query are wanted;
    cut, every row is copied into `span / chunk + 1` windows.

    Returns:
        A divisor of block and span, smaller than the block; None where it should stay whole.
    """
    if block is None:
        return None
    common = math.gcd(block, span)
    divisors = (d for d in range(min(common, block - 1), 0, -1) if common % d == 0)
    spared = {d: block - d - SCORES_PER_COPY * (span // d + 1) for d in divisors}
    best = max(spared, key=spared.get, default=None)
    return best if best is not None and spared[best] > 0 else None


def in_chunks(x, chunk: int):
    """[batch, heads, block, d_head] to [batch, heads, block / chunk, chunk, d_head]."""
    batch, heads, block, d_head = ops.shape(x)
    return ops.reshape(x, (batch, heads, block // chunk, chunk, d_head))


def overlapping_windows(rows, chunk: int, span: int):
    """The rows that each chunk of queries sees.

    Args:
        rows: [batch, heads, span + block, d_head].
        chunk: int, divides `span` and the block.
        span: int.

    Returns:
        [batch, heads, block / chunk, span + chunk, d_head].
    """
    pieces = in_chunks(rows, chunk)
    ahead = span // chunk
    count = pieces.shape[2] - ahead
    # Split, not sliced: the gradient is a concatenation, which is many times as fast.
    parts = [ops.split(pieces, [i, i + count], axis=2)[1] for i in range(ahead + 1)]
    return ops.concatenate(parts, axis=3)


def unskew(x, span: int):
    """Takes the columns i to i + span - 1 of each row i, by reshaping alone.

    Args:
        x: [..., rows, columns], columns at least rows + span - 1.
        span: int.

    Returns:
        [..., rows, span].
    """
    *leading, rows, columns = ops.shape(x)
    x = ops.reshape(x, (*leading, rows * columns))
    x = ops.pad(x, [[0, 0]] * len(leading) + [[0, rows]])
    return ops.reshape(x, (*leading, rows, columns + 1))[..., :span]


def skew(x, elsewhere: float = 0.0):
    """Moves each row i to the columns i to i + span - 1 of a wider one.

    Args:
        x: [..., rows, span].
        elsewhere: what the other columns hold.

    Returns:
        [..., rows, span + rows].
    """
    *leading, rows, span = ops.shape(x)
    still = [[0, 0]] * len(leading)

    def moved(x):
        x = ops.pad(x, [*still, [0, 0], [0, rows + 1]], constant_values=elsewhere)
        x = ops.reshape(x, (*leading, rows * (span + rows + 1)))
        return ops.reshape(x[..., :-rows], (*leading, rows, span + rows))

    # By itself, the gradient of the slice would take as long as all else.
    return linear_map(moved, lambda upstream: unskew(upstream, span), x)
