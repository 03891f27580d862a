"""Dropout with masks that follow from an explicit key."""

from collections.abc import Callable

import keras
import numpy as np
from keras import ops

from sparse_mixer_tf.layers.randomness import next_key, random_bits


@keras.saving.register_keras_serializable(package="sparse_mixer_tf")
class Dropout(keras.layers.Layer):
    """Sets elements to zero at random while training and scales the others up.

    Inside a `random_key` block the mask is a function of that key; outside it comes from a seed
    generator of the layer's own, as in Keras.

    Args:
        rate: share of elements set to zero, in [0, 1); resolved to 1 / 65,536.
        noise_shape: shape of the mask, `None` where it follows the input; 1 shares the mask along
            an axis.

    Raises:
        ValueError: `rate` is not in [0, 1).
    """

    def __init__(self, rate: float, noise_shape: tuple[int | None, ...] | None = None, **kwargs):
        super().__init__(**kwargs)
        if not 0 <= rate < 1:
            raise ValueError(f"rate={rate} is not in [0, 1); use 0 to turn dropout off")
        self.rate = rate
        self.noise_shape = noise_shape
        self.seed_generator = keras.random.SeedGenerator() if rate > 0 else None
        self.supports_masking = True
        self.built = True

    def call(self, x, training=None):
        return self.drawn(ops.shape(x), training)(x)

    def drawn(self, shape, training=None) -> Callable:
        """A function that drops of arrays of this shape the same elements however often it runs."""
        if not training or self.rate == 0:
            return lambda x: x
        factors = dropout_factors(shape, self.rate, self.next_key(), self.noise_shape)
        return lambda x: x * ops.cast(factors, x.dtype)

    def next_key(self):
        """uint32 [2]: the key of the mask to come; `None` where nothing is ever dropped."""
        return next_key(self.seed_generator) if self.rate > 0 else None

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "rate": self.rate, "noise_shape": self.noise_shape}


def dropout_factors(shape, rate: float, key, noise_shape: tuple[int | None, ...] | None = None):
    """0 at random, and elsewhere what keeps the expectation of an array multiplied by it.

    Two decisions are cut from each random word, 16 bits a decision.

    Args:
        shape: of that array, [..., columns].
        rate: share of zeros, in (0, 1).
        key: uint32 [2].
        noise_shape: shape of the result, `None` where it follows `shape`; it is `shape` by default.

    Returns:
        float32 of `noise_shape`.
    """
    if noise_shape is not None:
        shape = tuple(
            size if fixed is None else fixed for size, fixed in zip(shape, noise_shape, strict=True)
        )
    dropped = min(max(round(rate * 2**16), 1), 2**16 - 1)
    threshold = np.uint32(dropped << 16)
    columns = shape[-1]
    words = random_bits(key, (*shape[:-1], -(-columns // 2)))
    low_half = ops.bitwise_left_shift(words, np.uint32(16)) >= threshold
    keep = ops.concatenate([words >= threshold, low_half], axis=-1)[..., :columns]
    return ops.where(keep, np.float32(2**16 / (2**16 - dropped)), np.float32(0))
