"""Mixing sublayers: both implementations agree, at any length, and know their length."""

import numpy as np
import pytest
from keras import ops

from sparse_mixer_tf import layers
from sparse_mixer_tf.layers.tracing import device_kind, made_for
from tests.layers.backend import gradients

MIXERS = {
    "fourier": layers.FourierMixing,
    "hartley": layers.HartleyMixing,
    "circulant": layers.CirculantMixing,
    "toeplitz": layers.ToeplitzMixing,
}
LEARNED = {**MIXERS, "linear": layers.LinearMixing}
del LEARNED["fourier"], LEARNED["hartley"]


def sample(seq, hidden):
    return np.random.default_rng(3).normal(size=(2, seq, hidden)).astype("float32")


@pytest.mark.parametrize("seq, hidden", [(8, 6), (7, 6), (8, 5), (9, 7), (1, 4), (2, 1)])
@pytest.mark.parametrize("kind", MIXERS)
def test_fft_equals_matmul_forward_and_backward(kind, seq, hidden):
    x, results = sample(seq, hidden), []
    weights = None
    for implementation in ("fft", "matmul"):
        layer = MIXERS[kind](implementation)
        layer.build(x.shape)
        weights = weights or [np.random.default_rng(1).normal(size=w.shape) for w in layer.weights]
        layer.set_weights(weights)

        def loss(x, layer=layer):
            y = layer(x)
            return ops.sum(y**3), y

        y, found = gradients(loss, [x], layer.trainable_variables)
        results.append([y, *found])
    for by_fft, by_matmul in zip(*results, strict=True):
        scale = max(np.abs(by_matmul).max(), 1e-3)
        np.testing.assert_allclose(by_fft / scale, by_matmul / scale, atol=2e-5)


def test_fourier_mixing_is_the_real_part_of_numpys_fft():
    x = sample(10, 6)
    np.testing.assert_allclose(
        layers.FourierMixing("fft")(x), np.fft.fft2(x).real, rtol=1e-4, atol=1e-4
    )


@pytest.mark.tensorflow
@pytest.mark.parametrize("implementation", ["fft", "matmul"])
@pytest.mark.parametrize("kind", [layers.FourierMixing, layers.HartleyMixing])
def test_a_length_that_a_graph_does_not_know_changes_nothing(kind, implementation):
    import tensorflow as tf

    layer = kind(implementation)
    layer.build((None, None, 6))
    traced = tf.function(layer, input_signature=[tf.TensorSpec([None, None, 6])])
    for seq in (1, 7, 10):
        x = sample(seq, 6)
        np.testing.assert_allclose(traced(x), layer(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", LEARNED)
def test_another_length_than_the_one_built_for_is_refused_with_both_lengths(kind):
    layer = LEARNED[kind](name="mixing")
    layer.build((None, 8, 6))
    with pytest.raises(ValueError, match="built for sequences of 8 tokens and got 7.*seq_length=7"):
        layer(sample(7, 6))


@pytest.mark.tensorflow
@pytest.mark.parametrize("kind", LEARNED)
def test_a_graph_that_does_not_know_the_length_mixes_no_two_examples(kind):
    import tensorflow as tf

    layer = LEARNED[kind]()
    layer.build((None, 12, 8))
    traced = tf.function(layer, input_signature=[tf.TensorSpec([None, None, 8])])
    x = sample(12, 8)
    np.testing.assert_allclose(traced(x), layer(x), rtol=1e-5, atol=1e-5)
    with pytest.raises(tf.errors.InvalidArgumentError, match="reshape"):
        traced(sample(6, 8))


@pytest.mark.parametrize("kind", LEARNED)
def test_an_unknown_length_is_refused_when_building(kind):
    with pytest.raises(ValueError, match="needs to know their length"):
        LEARNED[kind]().build((None, None, 6))


@pytest.mark.parametrize("kind", ["FourierMixing", "HartleyMixing", "CirculantMixing"])
def test_auto_goes_by_shape_and_device(kind):
    def uses_fft(size, device):
        layer = getattr(layers, kind)()
        with made_for(device):
            layer.build((None, size, 16))
        return layer.uses_fft

    assert uses_fft(512, "cpu") and not uses_fft(64, "cpu")
    assert not uses_fft(512, "tpu")
    here = getattr(layers, kind)()
    here.build((None, 512, 16))
    assert here.uses_fft == uses_fft(512, device_kind())


def test_an_unknown_implementation_is_refused():
    with pytest.raises(ValueError, match="implementation='dft' is unknown; use 'auto'"):
        layers.FourierMixing("dft")


@pytest.mark.parametrize("kind", {**MIXERS, **LEARNED})
def test_padding_is_mixed_unless_masked(kind):
    x = sample(8, 6)
    other = np.concatenate([x[:, :5], 3 * x[:, 5:]], axis=1)
    mask = np.array([[True] * 5 + [False] * 3] * 2)
    mixing = {**MIXERS, **LEARNED}[kind]
    plain, masked = mixing(), mixing(mask_padding=True)
    assert np.abs(plain(x, padding_mask=mask) - plain(other, padding_mask=mask)).max() > 1e-6
    np.testing.assert_array_equal(masked(x, padding_mask=mask), masked(other, padding_mask=mask))


@pytest.mark.tensorflow
@pytest.mark.parametrize("kind", ["circulant", "toeplitz"])
def test_gradients_of_learned_vectors_are_dense(kind):
    import tensorflow as tf

    layer = MIXERS[kind]("matmul")
    with tf.GradientTape() as tape:
        y = layer(sample(8, 6))
    found = tape.gradient(y, [v.value for v in layer.trainable_variables])
    assert not any(isinstance(gradient, tf.IndexedSlices) for gradient in found)
