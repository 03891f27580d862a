"""The contract of every layer."""

import json

import keras
import numpy as np
import pytest

from sparse_mixer_tf.layers import random_key
from tests.layers.backend import compiled
from tests.layers.catalogue import BATCH, LAYERS, SUBLAYERS, X, build
from tests.layers.numbers_of_layers import KEY, training_step
from tests.long_cases import long_cases

every_layer = pytest.mark.parametrize("name", LAYERS)
# One layer of each kind of operation: products, FFTs, dropout, top_k, gathers, loops.
COMPILED = ("fourier", "attention", "post_norm", "experts_choose", "dropless")


def built(name, dtype="float32"):
    keras.utils.set_random_seed(3)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(dtype)
    try:
        return build(LAYERS[name])
    finally:
        keras.config.set_dtype_policy(before)


def called(layer, name):
    return layer(*LAYERS[name].inputs, **LAYERS[name].options)


@every_layer
def test_the_shape_is_known_beforehand(name):
    layer, specimen = built(name), LAYERS[name]
    assert called(layer, name).shape == specimen.output
    symbols = [keras.KerasTensor(x.shape, str(x.dtype)) for x in specimen.inputs]
    assert layer(*symbols).shape == specimen.output


@pytest.mark.parametrize("name", SUBLAYERS)
def test_masks_are_optional(name):
    assert built(name)(X, training=True).shape == X.shape


@pytest.mark.parametrize(
    ("name", "xla"),
    [
        *((name, False) for name in LAYERS),
        *((name, True) for name in COMPILED),
        *long_cases(*((name, True) for name in LAYERS if name not in COMPILED)),
    ],
)
def test_a_compiled_step_gives_the_numbers_of_an_eager_one_with_dropout_on(name, xla):
    layer, inputs = built(name), LAYERS[name].inputs
    step = training_step(layer, LAYERS[name])
    eager = step(*inputs)
    # JAX compiles gradients in any case, but not this.
    with random_key(KEY):
        y = layer(*inputs, **LAYERS[name].options, training=True)
    np.testing.assert_allclose(y, eager[0], rtol=1e-4, atol=1e-4)
    assert all(np.isfinite(value).all() for value in eager)
    assert sum(not np.any(gradient) for gradient in eager[1:]) == LAYERS[name].without_influence
    for ours, theirs in zip(compiled(step, xla)(*inputs), eager, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


@every_layer
def test_config_goes_through_json_and_gives_the_same_layer(name):
    layer = built(name)
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(layer)))
    copy = keras.saving.deserialize_keras_object(config)
    assert json.dumps(copy.get_config()) == json.dumps(layer.get_config())
    copy.set_weights(layer.get_weights())
    np.testing.assert_array_equal(called(copy, name), called(layer, name))


@every_layer
def test_a_saved_model_comes_back_with_the_same_numbers(name, tmp_path):
    specimen = LAYERS[name]
    arrays = [*specimen.inputs, *specimen.options.values()]
    inputs = [keras.Input(batch_shape=x.shape, dtype=str(x.dtype)) for x in arrays]
    count = len(specimen.inputs)
    options = dict(zip(specimen.options, inputs[count:], strict=True))
    model = keras.Model(inputs, built(name)(*inputs[:count], **options))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(arrays), model(arrays))


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", [name for name in LAYERS if LAYERS[name].any_batch])
def test_unknown_batch_sizes_work_in_a_graph(name):
    import tensorflow as tf

    layer, inputs = built(name), LAYERS[name].inputs
    unknown = [tf.TensorSpec([None, *x.shape[1:]], x.dtype) for x in inputs]
    step = tf.function(lambda *x: layer(*x), input_signature=unknown, autograph=False)
    for size in (BATCH, 2):
        some = [x[:size] for x in inputs]
        np.testing.assert_allclose(step(*some), layer(*some), rtol=1e-5, atol=1e-5)


@every_layer
def test_bfloat16_is_float32_to_its_precision(name):
    half, full = built(name, "mixed_bfloat16"), built(name)
    half.set_weights(full.get_weights())
    y, expected = called(half, name), np.asarray(called(full, name))
    assert y.dtype == ("float32" if LAYERS[name].keeps_float32 else "bfloat16")
    assert all(v.dtype == "float32" for v in half.trainable_variables)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(np.asarray(y, "float32"), expected, atol=0.03 * scale)
