"""Experts one after another, each on exactly the rows that chose it.

Nothing is padded and nothing is done twice, but how many rows an expert has is known only when it
is its turn: for functions that no compiler wants static shapes of. What is done to every element
alike is done in the expert's turn too, while its rows are in the cache: for 4,096 rows, 16 experts
of width 1,024 then take about a fifth less time than with the rows of all at once, and 64 experts a
twentieth less (forward and backward, 2 cores).

Choices that found no slot, cut into runs: some rows next to each other, all of one expert.

Sorted by expert, what one expert has to do lies together, so a run is a slice and one product of
two plain matrices. Runs come in two lengths, both known beforehand; how many there are of each is
not, so they are gone through in a loop. Long runs make the work of a router that sends everything
to two experts nearly as cheap as a dense layer's.
"""

import math
from typing import Any, NamedTuple

from keras import ops

from sparse_mixer_tf.layers.moe.expert_ffn import ExpertWeights, HiddenLayer
from sparse_mixer_tf.layers.moe.permutation import Choices

# Up to how many weights a plain product with a transposed kernel is the faster: for 16 experts with
# 128 rows each, of 256 x 256 it takes 2.1 ms and 2.4 as batches of one, of 512 x 512 9.9 and 7.1.
_SMALL_KERNEL = 2**17


class Turns:
    """The choices of every expert in turn.

    Args:
        choices: who chose whom.
        num_tokens: rows by token.
        layer: the experts' hidden layer.
    """

    def __init__(self, choices: Choices, num_tokens, layer: HiddenLayer):
        self._choices, self._num_tokens, self._layer = choices, num_tokens, layer
        # Made once, as there are many slices, and all columns are taken.
        zeros = ops.zeros_like(choices.start)
        self._places = _one_by_one(ops.stack([choices.start, zeros], axis=1))
        self._sizes = _one_by_one(ops.stack([choices.count, zeros - 1], axis=1))

    def serve(self, x, weights: ExpertWeights) -> tuple[Any, tuple]:
        """Return the output for each choice, [choices, d_model], and the gradient's residuals."""
        rows = self._apart(ops.take(x, self._choices.number % self._num_tokens, axis=0))
        own = ExpertWeights(*map(_one_by_one, weights))
        before = _products(rows, own.kernel_in, own.bias_in)
        hidden = self._dropped([self._layer.activation.function(part) for part in before])
        outputs = self._joined(_products(hidden, own.kernel_out, own.bias_out))
        return self._by_number(outputs), (rows, own, before, hidden)

    def gradients(self, d_outputs, kept) -> tuple[Any, ExpertWeights]:
        """Gradients of what each choice gave, [choices, d_model], and of the weights.

        Args:
            d_outputs: of the outputs of `serve`.
            kept: the second that it returned.
        """
        rows, own, before, hidden = kept
        dy = self._apart(ops.take(d_outputs, self._choices.number, axis=0))
        d_hidden = self._dropped(_products_back(dy, own.kernel_out))
        backward = self._layer.activation.backward
        d_before = [backward(*pair) for pair in zip(d_hidden, before, strict=True)]
        d_rows = self._joined(_products_back(d_before, own.kernel_in))
        d_weights = ExpertWeights(
            kernel_in=ops.stack(_transposed_products(rows, d_before)),
            bias_in=ops.stack([ops.sum(part, axis=0) for part in d_before]),
            kernel_out=ops.stack(_transposed_products(hidden, dy)),
            bias_out=ops.stack([ops.sum(part, axis=0) for part in dy]),
        )
        return self._by_number(d_rows), d_weights

    def _apart(self, rows) -> list:
        """Of rows sorted by expert, those of each, [its rows, columns]."""
        places = zip(self._places, self._sizes, strict=True)
        return [ops.slice(rows, place, size) for place, size in places]

    def _dropped(self, rows: list) -> list:
        """Return the rows of each expert after dropout, with elements counted over all experts."""
        if self._layer.key is None:
            return rows
        return self._apart(self._layer.dropped(self._joined(rows)))

    def _joined(self, rows: list):
        """Undoes `_apart`; the choices of padding, which come last, are given zeros."""
        missing = ops.shape(self._choices.number)[0] - ops.sum(self._choices.count)
        columns = rows[0].shape[-1]
        rows = [*rows, ops.zeros((missing, columns), rows[0].dtype)]
        return ops.reshape(ops.concatenate(rows, axis=0), (-1, columns))

    def _by_number(self, rows):
        """Rows sorted by expert in the order of the choices."""
        return ops.take(rows, self._choices.place, axis=0)


def _one_by_one(weight) -> list:
    """The weight of each expert."""
    return ops.unstack(weight, weight.shape[0], axis=0)


def _products(rows: list, kernels: list, biases: list) -> list:
    """Each expert's rows times its kernel and its bias."""
    return [ops.matmul(x, w) + b for x, w, b in zip(rows, kernels, biases, strict=True)]


def _products_back(rows: list, kernels: list) -> list:
    """Each expert's rows times its kernel's transpose."""
    return [_times_transposed(*pair) for pair in zip(rows, kernels, strict=True)]


def _times_transposed(rows, kernel):
    if math.prod(kernel.shape) <= _SMALL_KERNEL:
        return ops.matmul(rows, ops.transpose(kernel))
    # As a batch of one: oneDNN's plain product takes up to four times as long.
    return ops.squeeze(ops.matmul(rows[None], ops.swapaxes(kernel[None], 1, 2)), 0)


def _transposed_products(left: list, right: list) -> list:
    return [ops.matmul(ops.transpose(a), b) for a, b in zip(left, right, strict=True)]


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
    """Return the number of rows that a run may reach beyond the last choice."""
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
