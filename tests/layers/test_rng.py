"""Random bits and dropout: functions of a key, and evenly spread."""

import keras
import numpy as np
import pytest
from keras import ops

from sparse_mixer_tf.layers import Dropout, random_key
from sparse_mixer_tf.layers.rng import next_key, random_bits, random_uniform
from tests.layers.backend import compiled, gradients

KEY = np.array([3, 5], np.uint32)


def bits_of(key, shape=(64, 512)):
    return np.asarray(random_bits(key, shape))


def test_bits_are_a_function_of_the_key_eager_or_compiled():
    expected = bits_of(KEY)
    for xla in (False, True):
        bits = compiled(lambda key: random_bits(key, (64, 512)), xla)
        np.testing.assert_array_equal(bits(KEY), expected)
    for other in ([4, 5], [3, 6], [5, 3]):
        assert (bits_of(np.array(other, np.uint32)) != expected).mean() > 0.999


def test_each_bit_is_set_half_of_the_time_and_independent_of_its_neighbours():
    bits = np.unpackbits(bits_of(KEY).view(np.uint8).reshape(64, 512, 4), axis=2).astype(float)
    spread = 0.5 / np.sqrt(64 * 512)
    assert np.abs(bits.mean((0, 1)) - 0.5).max() < 4.5 * spread
    # Over a row and a column of 32-bit words the mean spreads as that of fair coins.
    assert np.abs(bits.mean((1, 2)) - 0.5).max() < 5 * 0.5 / np.sqrt(512 * 32)
    assert np.abs(bits.mean((0, 2)) - 0.5).max() < 5 * 0.5 / np.sqrt(64 * 32)
    signs = 2 * bits - 1
    for shifted in (signs[1:] * signs[:-1], signs[:, 1:] * signs[:, :-1]):
        assert np.abs(shifted.mean((0, 1))).max() < 5 / np.sqrt(64 * 511)
    # Rectangles, where a hash of row xor column would repeat itself.
    corners = signs[::2, ::2] * signs[1::2, ::2] * signs[::2, 1::2] * signs[1::2, 1::2]
    assert np.abs(corners.mean((0, 1))).max() < 5 / np.sqrt(32 * 256)


def test_uniform_numbers_fill_their_interval():
    numbers = np.asarray(random_uniform(KEY, (100, 100), 0.9, 1.1))
    assert numbers.min() >= 0.9 and numbers.max() < 1.1
    np.testing.assert_allclose(numbers.mean(), 1.0, atol=0.003)
    np.testing.assert_allclose(numbers.std(), 0.2 / np.sqrt(12), rtol=0.03)


def test_draws_of_one_block_differ_and_repeat_with_the_block():
    def draw():
        with random_key(KEY):
            return [np.asarray(next_key(None)).tolist() for _ in range(50)]

    first = draw()
    assert len({tuple(key) for key in first}) == 50
    assert draw() == first


def test_blocks_nest_and_end():
    generator = keras.random.SeedGenerator(1)
    with random_key(KEY):
        outer = np.asarray(next_key(generator))
        with random_key(KEY):
            np.testing.assert_array_equal(next_key(generator), outer)
        assert (np.asarray(next_key(generator)) != outer).any()
    assert (np.asarray(next_key(generator)) != np.asarray(next_key(generator))).any()


@pytest.mark.parametrize("columns", [1, 7, 64])
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout_drops_its_rate_and_keeps_the_mean(rate, columns):
    x = np.ones((20_000 // columns, columns), "float32")
    with random_key(KEY):
        y = np.asarray(Dropout(rate)(x, training=True))
    spread = np.sqrt(rate * (1 - rate) / y.size)
    assert abs((y == 0).mean() - rate) < 5 * spread
    np.testing.assert_allclose(y[y != 0], 1 / (1 - rate), rtol=1e-4)


def test_dropout_does_nothing_outside_training_or_at_rate_zero():
    x = np.random.default_rng(1).normal(size=(4, 6)).astype("float32")
    np.testing.assert_array_equal(Dropout(0.5)(x), x)
    np.testing.assert_array_equal(Dropout(0.0)(x, training=True), x)


def test_dropout_without_a_key_draws_a_new_mask_each_time():
    layer, x = Dropout(0.5), np.ones((16, 64), "float32")
    masks = [np.asarray(layer(x, training=True)) for _ in range(2)]
    assert 0.3 < (masks[0] != masks[1]).mean() < 0.7


def test_one_mask_stays_the_same_and_the_next_is_another():
    layer, x = Dropout(0.5), np.ones((16, 64), "float32")
    drop, other = layer.with_one_mask(training=True), layer.with_one_mask(training=True)
    np.testing.assert_array_equal(drop(x), drop(x))
    assert 0.3 < (np.asarray(drop(x)) != np.asarray(other(x))).mean() < 0.7
    np.testing.assert_array_equal(layer.with_one_mask(training=False)(x), x)


def test_a_mask_can_be_shared_along_axes():
    with random_key(KEY):
        y = np.asarray(Dropout(0.5, (1, None, None))(np.ones((3, 8, 16), "float32"), training=True))
    np.testing.assert_array_equal(y[0], y[1])
    assert len(np.unique(y[0], axis=0)) > 1


def test_the_gradient_meets_the_mask_of_the_forward_pass():
    def loss(x):
        y = Dropout(0.3)(x, training=True)
        return ops.sum(y), y

    with random_key(KEY):
        y, (gradient,) = gradients(loss, [np.ones((32, 32), "float32")])
    np.testing.assert_array_equal(gradient, y)


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_an_impossible_rate_is_refused(rate):
    with pytest.raises(ValueError, match=r"is not in \[0, 1\); use 0 to turn dropout off"):
        Dropout(rate)
