"""Choices that found no slot, cut into runs: some rows next to each other, all of one expert.

Sorted by expert, what one expert has to do lies together, so a run is a slice and one product of
two plain matrices. Runs come in two lengths, both known beforehand; how many there are of each is
not, so they are gone through in a loop. Long runs make the work of a router that sends everything
to two experts nearly as cheap as a dense layer's.
"""

from typing import Any, NamedTuple

from keras import ops

from sparse_mixer_tf.layers.dropless import Choices


class Runs(NamedTuple):
    """Runs of one length.

    Attributes:
        rows: places in a run.
        first: int32 [num_experts], the place where the runs of each expert begin.
        last: int32 [num_experts], the place behind the last choice of each.
        upto: int32 [num_experts], runs of this expert and of those before it.
        count: int32 [num_experts], runs of each.
    """

    rows: Any
    first: Any
    last: Any
    upto: Any
    count: Any

    @property
    def number(self):
        """int32 scalar: how many there are."""
        return self.upto[-1]

    def at(self, index) -> tuple[Any, Any, Any]:
        """A run's expert, its first place, and how many of its rows it really has."""
        # Sums over a one-hot row, since gathers in a loop take XLA seconds to compile.
        before = self.upto - self.count
        is_its = ops.cast(ops.logical_and(before <= index, index < self.upto), "int32")
        expert = ops.sum(is_its * ops.arange(ops.shape(self.upto)[0], dtype="int32"))
        place = ops.sum(is_its * (self.first + (index - before) * self.rows))
        return expert, place, ops.minimum(ops.sum(is_its * self.last) - place, self.rows)


def shortest_run(num_choices, num_experts: int):
    """Rows of a short run: half of an expert's even share."""
    rows = (num_choices - 1) // (2 * num_experts) + 1
    return max(rows, 8) if isinstance(rows, int) else ops.maximum(rows, 8)


def overhang(num_choices, num_experts: int):
    """How many rows a run may reach beyond the last choice."""
    return 2 * shortest_run(num_choices, num_experts)


def runs_of(choices: Choices, served, num_choices) -> tuple[Runs, Runs]:
    """Cuts what is left of every expert's choices into long runs and short ones.

    Args:
        choices: who chose whom.
        served: int32 scalar, how many choices of each expert have been served.
        num_choices: of all tokens, padding too.
    """
    short = shortest_run(num_choices, ops.shape(choices.count)[0])
    # With few experts or choices there is no room for a long run: none is ever needed there, but
    # compilers want it to fit all the same.
    room = num_choices + 2 * short
    long = min(8 * short, room) if isinstance(room, int) else ops.minimum(8 * short, room)
    first = choices.start + ops.minimum(served, choices.count)
    last = choices.start + choices.count
    left = last - first
    # A long run that lacks a fifth costs less than the short ones instead of it.
    whole = left // long + ops.cast(5 * (left % long) >= 4 * long, "int32")
    rest = ops.minimum(first + whole * long, last)
    parts = (last - rest + short - 1) // short
    return (
        Runs(long, first, last, ops.cumsum(whole), whole),
        Runs(short, rest, last, ops.cumsum(parts), parts),
    )


def read_rows(array, place, rows):
    """Rows from `place` on, [1, rows, columns], of an array [places, columns]."""
    return ops.slice(array, (place, 0), (rows, array.shape[1]))[None]


def write_rows(array, place, rows, real):
    """Puts rows [1, rows, columns] where they belong, the first `real` of them."""
    length = ops.shape(rows)[1]
    is_real = ops.arange(length, dtype="int32")[:, None] < real
    there = ops.slice(array, (place, 0), (length, array.shape[1]))
    return ops.slice_update(array, (place, 0), ops.where(is_real, rows[0], there))


def add_to_expert(total, expert, more):
    """Adds [1, ...] to what an array [num_experts, ...] holds of an expert."""
    where = (expert,) + (0,) * (len(total.shape) - 1)
    there = ops.slice(total, where, more.shape)
    return ops.slice_update(total, where, there + more)
