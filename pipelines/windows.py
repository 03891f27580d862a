"""How a text is divided to be scored: windows that together count each target exactly once."""

from typing import NamedTuple

import numpy as np


class Windows(NamedTuple):
    """Stretches of a text, each read from empty memory, block by block.

    Pair i of a text is its symbol i and, as target, symbol i + 1.

    Attributes:
        start: int64 [windows]; the first pair that is read.
        counted: int64 [windows]; the first pair whose target counts.
        end: int64 [windows]; behind the last one.
        num_blocks: blocks in which any window is read.
    """

    start: np.ndarray
    counted: np.ndarray
    end: np.ndarray
    num_blocks: int


def rows(num_pairs: int, batch_size: int, block: int) -> Windows:
    """As many windows as a batch has rows, as equal as can be; all that is read counts."""
    bounds = np.arange(batch_size + 1) * num_pairs // batch_size
    longest = int(np.diff(bounds).max())
    return Windows(bounds[:-1], bounds[:-1], bounds[1:], max(1, -(-longest // block)))


def strided(num_pairs: int, stride: int, context: int, block: int) -> Windows:
    """Windows that count `stride` pairs each, behind `context` others or all that there are.

    A window is filled up to whole blocks with still more context.
    """
    num_blocks = -(-(context + stride) // block)
    counted = np.arange(0, num_pairs, stride)
    end = np.minimum(counted + stride, num_pairs)
    return Windows(np.maximum(0, end - num_blocks * block), counted, end, num_blocks)
