import keras
import numpy as np
import pytest
import tensorflow as tf

from sparse_mixer_tf.layers import LayerNorm
from sparse_mixer_tf.layers.layer_norm import normalized


@pytest.mark.parametrize("shape", [(7, 12), (3, 5, 12), (2, 3, 4, 1)])
def test_values_and_gradients_are_those_of_keras_in_float64(shape):
    draw = np.random.default_rng(0)
    given = [draw.normal(3, 2, size) for size in (shape, shape[-1:], shape[-1:])]
    upstream = draw.normal(size=shape)

    def theirs(x, gamma, beta):
        return keras.ops.layer_normalization(x, gamma, beta, epsilon=1e-5)

    def ours(x, gamma, beta):
        return normalized(x, gamma, beta, 1e-5)

    found = []
    for function, dtype in ((ours, "float32"), (theirs, "float64")):
        inputs = [tf.constant(array, dtype) for array in given]
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            y = function(*inputs)
        found.append([y, *tape.gradient(y, inputs, tf.constant(upstream, dtype))])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_constant_row_becomes_beta():
    layer = LayerNorm()
    layer.build((None, 4))
    layer.beta.assign([1, 2, 3, 4])
    np.testing.assert_array_equal(layer(tf.fill([2, 4], 7.0)), [[1, 2, 3, 4]] * 2)


def test_half_precision_is_computed_in_full():
    x = np.random.default_rng(0).normal(1000, 1, (3, 64)).astype("float32")
    layer = LayerNorm(dtype="mixed_bfloat16")
    y = layer(x)
    assert y.dtype == "bfloat16" and layer.gamma.dtype == "float32"
    half = tf.cast(tf.cast(x, "bfloat16"), "float64")
    expected = keras.ops.layer_normalization(half)
    np.testing.assert_allclose(tf.cast(y, "float64"), expected, rtol=2**-8)
