import keras
import numpy as np
import pytest
from keras import ops

from sparse_mixer_tf.layers.attention.self_attention import weighted_values
from sparse_mixer_tf.layers.dropout import drop
from tests.layers.backend import gradients


def _dropped(x):
    return drop(x, 0.3, np.array([1, 2], "uint32"), (1, 1, None, None))


def _in_steps(logits, value, drop):
    probabilities = ops.cast(ops.softmax(logits, axis=-1), value.dtype)
    return ops.matmul(drop(probabilities), value)


@pytest.mark.parametrize("dropout", [lambda x: x, _dropped], ids=["whole", "dropped"])
# Gradients of about 1 after a few roundings to eight bits.
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-6), ("bfloat16", 1.5e-2)])
def test_outputs_and_gradients_are_those_of_the_single_steps(dtype, tolerance, dropout):
    numbers = np.random.default_rng(0)
    logits = numbers.normal(size=(2, 3, 5, 7)).astype("float32")
    # What nobody may look at.
    logits[1, :, :, 4:] = -3.4028235e38
    logits[0, 1, 2] = -3.4028235e38
    value = ops.cast(numbers.normal(size=(2, 3, 7, 4)), dtype)
    upstream = numbers.normal(size=(2, 3, 5, 4)).astype("float32")
    results = []
    for function in (weighted_values, _in_steps):

        def weighed(logits, value, function=function):
            y = function(logits, value, dropout)
            return ops.sum(ops.cast(y, "float32") * upstream), y

        y, (d_logits, d_value) = gradients(weighed, [logits, value])
        assert y.dtype == d_value.dtype == value.dtype
        assert keras.backend.standardize_dtype(d_logits.dtype) == "float32"
        results.append(
            [ops.convert_to_numpy(ops.cast(x, "float32")) for x in (y, d_logits, d_value)]
        )
    assert np.abs(results[0][1]).max() > 0.1
    for ours, expected in zip(*results, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=0, atol=tolerance)
