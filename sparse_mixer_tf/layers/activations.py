"""Activations of hidden layers, each with its derivative for gradients written by hand."""

import math
from collections.abc import Callable
from typing import NamedTuple

from keras import ops

_ROOT = math.sqrt(2 / math.pi)
_CUBIC = 0.044715
_DENSITY = 1 / math.sqrt(2 * math.pi)


class Activation(NamedTuple):
    """A function of one tensor and its derivative, both elementwise.

    Attributes:
        function: x to f(x).
        derivative: x to f'(x).
    """

    function: Callable
    derivative: Callable


def _gelu(x):
    return ops.gelu(x, approximate=True)


def _gelu_derivative(x):
    square = x * x
    tanh = ops.tanh(x * (_ROOT + _ROOT * _CUBIC * square))
    slope = x * (_ROOT + 3 * _ROOT * _CUBIC * square)
    return 0.5 * (1 + tanh) * (1 + (1 - tanh) * slope)


def _gelu_exact(x):
    return ops.gelu(x, approximate=False)


def _gelu_exact_derivative(x):
    # x times the normal distribution function: that function, and x times its density.
    below = 0.5 * (1 + ops.erf(x * math.sqrt(0.5)))
    return below + x * _DENSITY * ops.exp(-0.5 * x * x)


def _relu_derivative(x):
    return ops.cast(x > 0, x.dtype)


ACTIVATIONS = {
    "gelu": Activation(_gelu, _gelu_derivative),
    "gelu_exact": Activation(_gelu_exact, _gelu_exact_derivative),
    "relu": Activation(ops.relu, _relu_derivative),
}


def activation_named(name: str) -> Activation:
    """`gelu` (tanh approximation), `gelu_exact` (by the error function, as BERT has it) or `relu`.

    Raises:
        ValueError: there is no activation of this name.
    """
    if name not in ACTIVATIONS:
        raise ValueError(f"activation={name!r} is unknown; use one of {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]
