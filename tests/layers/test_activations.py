import keras
import numpy as np
import pytest
import tensorflow as tf

from sparse_mixer_tf.layers.activations import ACTIVATIONS

THEIRS = {
    "gelu": lambda x: keras.ops.gelu(x, approximate=True),
    "gelu_exact": lambda x: keras.ops.gelu(x, approximate=False),
    "relu": keras.ops.relu,
}
# TensorFlow's tanh of float32 is that far from the true one.
TOLERANCE = 1e-5


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_values_and_gradients_are_those_of_keras_in_float64(name):
    ours = ACTIVATIONS[name]
    x = np.linspace(-6, 6, 1000).astype("float32")
    upstream = np.random.default_rng(0).uniform(-1, 1, size=1000).astype("float32")
    results = []
    for function, dtype in ((ours.function, "float32"), (THEIRS[name], "float64")):
        given = tf.constant(x, dtype)
        with tf.GradientTape() as tape:
            tape.watch(given)
            y = function(given)
        results.append((y, tape.gradient(y, given, tf.constant(upstream, dtype))))
    (y, gradient), (their_y, their_gradient) = results
    np.testing.assert_allclose(y, their_y, atol=TOLERANCE)
    np.testing.assert_allclose(gradient, their_gradient, atol=TOLERANCE)
    slope = ours.derivative(tf.constant(x))
    np.testing.assert_allclose(upstream * slope, their_gradient, atol=TOLERANCE)
