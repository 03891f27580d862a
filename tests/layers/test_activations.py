import keras
import numpy as np
import pytest
from keras import ops

from sparse_mixer_tf.layers.activations import ACTIVATIONS
from tests.layers.backend import ON_JAX, gradients

THEIRS = {
    "gelu": lambda x: keras.ops.gelu(x, approximate=True),
    "gelu_exact": lambda x: keras.ops.gelu(x, approximate=False),
    "relu": keras.ops.relu,
}
# TensorFlow's tanh of float32 is that far from the true one.
TOLERANCES = {"float32": {"atol": 1e-5}, "float64": {"rtol": 1e-5, "atol": 1e-7}}


@pytest.mark.parametrize(
    "ours_in", ["float32", pytest.param("float64", marks=pytest.mark.tensorflow)]
)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_values_and_gradients_are_those_of_keras_in_float64(name, ours_in):
    ours = ACTIVATIONS[name]
    # JAX knows no more than float32, as the tests run it.
    exact = "float32" if ON_JAX else "float64"
    x = np.linspace(-6, 6, 1000).astype(ours_in)
    upstream = np.random.default_rng(0).uniform(-1, 1, size=1000).astype(ours_in)
    results = []
    for function, dtype in ((ours.function, ours_in), (THEIRS[name], exact)):

        def weighed(given, function=function, dtype=dtype):
            y = function(given)
            return ops.sum(y * ops.cast(upstream, dtype)), y

        y, (gradient,) = gradients(weighed, [ops.cast(x, dtype)])
        results.append((y, gradient))
    (y, gradient), (their_y, their_gradient) = results
    by_hand = ours.backward(ops.convert_to_tensor(upstream), ops.convert_to_tensor(x))
    for ours, expected in (
        (y, their_y),
        (gradient, their_gradient),
        (by_hand, their_gradient),
    ):
        np.testing.assert_allclose(ours, expected, **TOLERANCES[ours_in])


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_half_precision_stays_half_precision(name):
    x = ops.cast(np.linspace(-6, 6, 241), "bfloat16")
    assert ACTIVATIONS[name].function(x).dtype == "bfloat16"
    assert ACTIVATIONS[name].backward(x, x).dtype == "bfloat16"


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_half_precision_is_rounded_once(name):
    x = ops.cast(np.linspace(-6, 6, 241), "bfloat16")
    dy = ops.cast(np.cos(np.linspace(0, 50, 241)), "bfloat16")
    whole, d_whole = ops.cast(x, "float32"), ops.cast(dy, "float32")
    for half, exact in (
        (ACTIVATIONS[name].function(x), ACTIVATIONS[name].function(whole)),
        (ACTIVATIONS[name].backward(dy, x), ACTIVATIONS[name].backward(d_whole, whole)),
    ):
        np.testing.assert_array_equal(
            ops.convert_to_numpy(ops.cast(half, "float32")),
            ops.convert_to_numpy(ops.cast(ops.cast(exact, "bfloat16"), "float32")),
        )
