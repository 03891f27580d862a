"""The walk over a text: block by block, pass after pass, each from another offset.

A text of `length` symbols a row is read in blocks. A pass begins at its offset and goes on by a
block until less than a block and a target is left; then the next pass begins, with empty memory.
The offsets shift the blocks' borders, so that no symbol always comes first in a block.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from pipelines import stateless


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
        self._key = stateless.stream_key(seed, "offset")
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
        keys = stateless.fold(self._key, np.arange(number))
        offsets = stateless.below(keys, min(self._block, room))
        offsets[0] = 0
        steps = -(-(room - offsets) // self._block)
        return offsets, np.concatenate([[0], np.cumsum(steps)])
