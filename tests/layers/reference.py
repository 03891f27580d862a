"""Reading reference numbers and comparing a layer with them, gradients included."""

import numpy as np
from keras import ops

from tests.layers.backend import gradients
from tests.reference_files import read_arrays

FORWARD_TOLERANCE = 1e-5
GRADIENT_TOLERANCE = 5e-5


class Reference:
    """One file of the published Sparse Mixers; tests/fixtures/README.md says what is in it."""

    def __init__(self, name):
        self._arrays = read_arrays("sparse_mixers", name)

    def __getitem__(self, name):
        return self._arrays[name]

    def __contains__(self, name):
        return name in self._arrays


def check(layer, reference, weights, *, inputs="in/input_emb", reshape=None, loss=None, **kwargs):
    """Sets the weights of a built layer, runs it, and compares outputs and gradients.

    Args:
        layer: a built layer.
        reference: a `Reference`.
        weights: reference name of each weight, by its path below the layer, for example
            `{"query/kernel": "self/query/kernel"}`.
        inputs: reference name of the input.
        reshape: function from a reference array and a weight name to the layout of the layer.
        loss: what is added to sum(output * cotangent), called without arguments.
        kwargs: for the call of the layer.

    Returns:
        The output.
    """
    variables = {v.path.split("/", 1)[1]: v for v in layer.trainable_variables}
    assert set(variables) == set(weights)

    def in_our_layout(array, name):
        return reshape(array, name) if reshape else array

    for name, theirs in weights.items():
        variables[name].assign(in_our_layout(reference[f"p/{theirs}"], name))
    x = reference[inputs]
    floating = np.issubdtype(x.dtype, np.floating)

    def total(given=x):
        y = layer(given, **kwargs)
        added = loss() if loss is not None else 0.0
        return ops.sum(y * reference["in/cotangent"]) + added, y

    y, found = gradients(total, [x] if floating else [], [variables[name] for name in weights])
    expected = [reference["gin/input_emb"]] if floating else []
    expected += [in_our_layout(reference[f"g/{t}"], n) for n, t in weights.items()]
    assert_close(y, reference["out/y"])
    for ours, theirs in zip(found, expected, strict=True):
        assert_gradient_close(ours, theirs)
    return y


def assert_close(ours, theirs):
    np.testing.assert_allclose(ours, theirs, rtol=FORWARD_TOLERANCE, atol=FORWARD_TOLERANCE)


def assert_gradient_close(ours, theirs):
    """Relative to the largest entry, or to 0.01 where a gradient is zero but for rounding."""
    scale = max(np.abs(theirs).max(), 1e-2)
    np.testing.assert_allclose(np.asarray(ours) / scale, theirs / scale, atol=GRADIENT_TOLERANCE)
