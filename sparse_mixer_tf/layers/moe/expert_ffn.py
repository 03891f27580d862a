"""The experts' feed-forward and its gradient, as batched matmul pairs.

The gradient is there by name so that routing without capacity, which does not know beforehand how
often it will run the experts, can accumulate over its runs.
"""

from typing import Any, NamedTuple

from keras import ops

from sparse_mixer_tf.layers.activations import Activation
from sparse_mixer_tf.layers.dropout import drop


class ExpertWeights(NamedTuple):
    """Weights of some experts; the expert is the first axis of everything.

    Attributes:
        kernel_in: [experts, d_model, d_ff].
        bias_in: [experts, d_ff].
        kernel_out: [experts, d_ff, d_model].
        bias_out: [experts, d_model].
    """

    kernel_in: Any
    bias_in: Any
    kernel_out: Any
    bias_out: Any

    def of(self, expert) -> "ExpertWeights":
        """Copies of the weights of some experts, int32 [n]."""
        return ExpertWeights(*(ops.take(weight, expert, axis=0) for weight in self))


class HiddenLayer(NamedTuple):
    """The hidden layer of an expert's FFN: activation and dropout.

    Attributes:
        activation: an `Activation`.
        dropout_rate: dropout after it.
        key: uint32 [2], decides what is dropped; `None` drops nothing.
    """

    activation: Activation
    dropout_rate: float = 0.0
    key: Any = None

    def dropped(self, x):
        """Return x after dropout of the same elements each time, which is its own gradient too."""
        return x if self.key is None else drop(x, self.dropout_rate, self.key)


class Passed(NamedTuple):
    """Residuals of the forward pass for the backward pass."""

    before_activation: Any
    hidden: Any


def expert_feed_forward(x, weights: ExpertWeights, layer: HiddenLayer) -> tuple[Any, Passed]:
    """Dense, activation, dropout, dense.

    Args:
        x: [experts, rows, d_model].

    Returns:
        [experts, rows, d_model], and what the gradient needs.
    """
    before = ops.matmul(x, weights.kernel_in) + weights.bias_in[:, None, :]
    hidden = layer.dropped(layer.activation.function(before))
    y = ops.matmul(hidden, weights.kernel_out) + weights.bias_out[:, None, :]
    return y, Passed(before, hidden)


def expert_gradients(
    dy, x, weights: ExpertWeights, layer: HiddenLayer, passed: Passed
) -> tuple[Any, ExpertWeights]:
    """Gradients of `expert_feed_forward`.

    Args:
        dy: gradient of its output, [experts, rows, d_model].

    Returns:
        The gradient of x, and those of the weights.
    """
    d_hidden = layer.dropped(ops.matmul(dy, ops.swapaxes(weights.kernel_out, 1, 2)))
    d_before = layer.activation.backward(d_hidden, passed.before_activation)
    of_weights = ExpertWeights(
        kernel_in=ops.matmul(ops.swapaxes(x, 1, 2), d_before),
        bias_in=ops.sum(d_before, axis=1),
        kernel_out=ops.matmul(ops.swapaxes(passed.hidden, 1, 2), dy),
        bias_out=ops.sum(dy, axis=1),
    )
    return ops.matmul(d_before, ops.swapaxes(weights.kernel_in, 1, 2)), of_weights
