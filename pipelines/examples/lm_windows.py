"""The walk over a text: block by block, pass after pass, each from another offset.

A text of `length` symbols a row is read in blocks. A pass begins at its offset and goes on by a
block until less than a block and a target is left; then the next pass begins, with empty memory.
The offsets shift the blocks' borders, so that no symbol always comes first in a block.

How a text is divided to be scored: windows that together count each target exactly once.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from pipelines import random_streams


def walk(length: int, block: int, offsets: Iterable[int]) -> Iterator[tuple[int, bool]]:
    """The blocks of passes that begin at given offsets.

    Args:
        length: symbols of a row; more than a block.
        block: symbols read in a step.
        offsets: where each pass begins: 0, then random numbers below `block` in the published
            program; only those below `length - block` leave room for a block.

    Yields:
        (position, starts_anew): the first symbol of a block, and whether a pass begins there.
    """
    for offset in offsets:
        for position in range(offset, length - block, block):
            yield position, position == offset


class Walk:
    """The walk whose offsets are drawn from a seed; any step of it at once.

    Pass 0 begins at 0, and where pass k begins is a pure function of (seed, k).
    """

    def __init__(self, length: int, block: int, seed: int):
        """Args: as in `walk`; seed: names the offsets."""
        self._length, self._block = length, block
        self._key = random_streams.stream_key(seed, "offset")
        # The least number of steps of a pass: that of the largest offset.
        self._least_steps = max(1, (length - block) // block)
        self._passes = self._make_passes(16)

    def at(self, step: int) -> tuple[int, bool]:
        """(position, starts_anew) of a step, counted from 0."""
        offsets, first_steps = self._passes
        if step >= first_steps[-1]:
            # Twice what is needed, so that a long run seldom comes here.
            offsets, first_steps = self._passes = self._make_passes(
                2 * (step // self._least_steps + 1)
            )
        number = int(np.searchsorted(first_steps, step, side="right")) - 1
        into = step - int(first_steps[number])
        return int(offsets[number]) + into * self._block, into == 0

    def _make_passes(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Offsets of the first passes [number] and the steps they begin at [number + 1]."""
        room = self._length - self._block
        keys = random_streams.fold(self._key, np.arange(number))
        offsets = random_streams.below(keys, min(self._block, room))
        offsets[0] = 0
        steps = -(-(room - offsets) // self._block)
        return offsets, np.concatenate([[0], np.cumsum(steps)])


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
