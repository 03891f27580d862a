"""What every sublayer keeps to, whatever it does."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from sparse_mixer_tf.layers import random_key
from tests.layers.catalogue import BATCH, D_MODEL, SEQ, SUBLAYERS

KEY = np.array([7, 11], np.uint32)
MASK = tf.constant(np.arange(SEQ) < np.array([[SEQ], [5], [2]]))
every_sublayer = pytest.mark.parametrize("name", SUBLAYERS)


def sample(dtype="float32"):
    return tf.cast(tf.random.stateless_normal([BATCH, SEQ, D_MODEL], seed=[1, 2]), dtype)


def built(name, dtype="float32"):
    keras.utils.set_random_seed(3)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(dtype)
    try:
        layer = SUBLAYERS[name]()
    finally:
        keras.config.set_dtype_policy(before)
    layer.build((BATCH, SEQ, D_MODEL))
    return layer


def forward_and_backward(layer, x, mask):
    with random_key(KEY), tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, padding_mask=mask, training=True)
        loss = tf.reduce_sum(tf.cast(y, "float32") ** 2) + sum(layer.losses)
    weights = [v.value for v in layer.trainable_variables]
    return [y, *tape.gradient(loss, [x, *weights])]


@every_sublayer
def test_shape_is_kept_and_masks_are_optional(name):
    layer, x = built(name), sample()
    assert layer(x).shape == x.shape
    assert layer(x, padding_mask=MASK, training=True).shape == x.shape
    assert layer.compute_output_shape(x.shape) == tuple(x.shape)


@every_sublayer
def test_eager_graph_and_xla_give_the_same_numbers_with_dropout_on(name):
    layer, x, mask = built(name), sample(), MASK
    eager = forward_and_backward(layer, x, mask)
    assert all(np.isfinite(value).all() for value in eager)
    for jit_compile in (False, True):
        step = tf.function(
            lambda x, mask: forward_and_backward(layer, x, mask),
            jit_compile=jit_compile,
            autograph=False,
        )
        for ours, theirs in zip(step(x, mask), eager, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


@every_sublayer
def test_config_goes_through_json_and_gives_the_same_layer(name):
    layer, x = built(name), sample()
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(layer)))
    copy = keras.saving.deserialize_keras_object(config)
    assert json.dumps(copy.get_config()) == json.dumps(layer.get_config())
    copy.set_weights(layer.get_weights())
    np.testing.assert_array_equal(copy(x, padding_mask=MASK), layer(x, padding_mask=MASK))


@every_sublayer
def test_a_saved_model_comes_back_with_the_same_numbers(name, tmp_path):
    inputs = keras.Input((SEQ, D_MODEL))
    mask = keras.Input((SEQ,), dtype="bool")
    model = keras.Model([inputs, mask], built(name)(inputs, padding_mask=mask))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded([sample(), MASK]), model([sample(), MASK]))


@every_sublayer
def test_unknown_batch_sizes_work_in_a_graph(name):
    layer, x = built(name), sample()
    step = tf.function(
        lambda x: layer(x),
        input_signature=[tf.TensorSpec([None, SEQ, D_MODEL])],
        autograph=False,
    )
    np.testing.assert_allclose(step(x), layer(x), rtol=1e-5, atol=1e-5)


@every_sublayer
def test_bfloat16_is_float32_to_its_precision(name):
    half, full = built(name, "mixed_bfloat16"), built(name)
    half.set_weights(full.get_weights())
    y = half(sample(), padding_mask=MASK)
    assert y.dtype == tf.bfloat16
    assert all(v.dtype == "float32" for v in half.trainable_variables)
    expected = np.asarray(full(sample(), padding_mask=MASK))
    scale = np.abs(expected).max()
    np.testing.assert_allclose(tf.cast(y, "float32"), expected, atol=0.03 * scale)
