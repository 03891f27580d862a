"""Experts one after another, each on exactly the rows that chose it.

Nothing is padded and nothing is done twice, but how many rows an expert has is known only when it
is its turn: for functions that no compiler wants static shapes of. What is done to every element
alike is done in the expert's turn too, while its rows are in the cache: for 4,096 rows, 16 experts
of width 1,024 then take about a fifth less time than with the rows of all at once, and 64 experts a
twentieth less (forward and backward, 2 cores).
"""

import math
from typing import Any

from keras import ops

from sparse_mixer_tf.layers.dropless import Choices
from sparse_mixer_tf.layers.expert_products import ExpertWeights, HiddenLayer

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
        """What each choice is given, [choices, d_model], and what the gradient needs."""
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
        """What dropout leaves: of the rows of all at once, as it counts elements from the first."""
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
