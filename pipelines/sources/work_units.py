"""The slices of a source: the units of preparing it, on one machine or many.

A slice is a run of neighbouring files of a source. Which ones there are follows from the files'
sizes alone, and the shards of a slice from its text alone; so slices may be made in any order, by
any number of machines, and those that are there need not be made again.
"""

from collections.abc import Sequence
from typing import NamedTuple

# About 64 million tokens of plain English text, a shard. Smaller sources are one slice.
SLICE_BYTES = 2**28


class Slice(NamedTuple):
    """One slice.

    Attributes:
        split: "train" or "validation", as the source has them.
        number: from 0, in the order of the files.
    """

    split: str
    number: int

    @property
    def name(self) -> str:
        return f"{self.split}-{self.number:05d}"


def group(sizes: Sequence[int], least: int) -> list[range]:
    """Neighbouring files together until they have `least` bytes; a file is never divided.

    Args:
        sizes: of the files, in their order.
        least: bytes of a slice; the last one may have fewer.

    Returns:
        Which files make up each slice.
    """
    groups, first, size = [], 0, 0
    for number, bytes_of_file in enumerate(sizes):
        size += bytes_of_file
        if size >= least:
            groups.append(range(first, number + 1))
            first, size = number + 1, 0
    if first < len(sizes):
        groups.append(range(first, len(sizes)))
    return groups
