"""Dropout with masks that follow from an explicit key."""

from collections.abc import Callable

import keras
import numpy as np
from keras import ops

from sparse_mixer_tf.layers.rng import next_key, random_bits


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
        return self.with_one_mask(training)(x)

    def with_one_mask(self, training) -> Callable:
        """A call of this layer as a function, which drops the same elements each time."""
        if not training or self.rate == 0:
            return lambda x: x
        key = self.next_key()
        return lambda x: drop(x, self.rate, key, self.noise_shape)

    def next_key(self):
        """uint32 [2]: the key of the mask to come; `None` where nothing is ever dropped."""
        return next_key(self.seed_generator) if self.rate > 0 else None

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "rate": self.rate, "noise_shape": self.noise_shape}


def drop(x, rate: float, key, noise_shape: tuple[int | None, ...] | None = None):
    """Drop elements of `x`; two decisions are cut from each random word, 16 bits a decision.

    Args:
        x: float [..., columns].
        rate: share of elements set to zero, in (0, 1).
        key: uint32 [2].
        noise_shape: shape of the mask, `None` where it follows `x`.

    Returns:
        `x` with about `rate` of its elements zero and the others scaled to keep the expectation.
    """
    shape = ops.shape(x)
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
    scaled = x * ops.cast(2**16 / (2**16 - dropped), x.dtype)
    return ops.where(keep, scaled, ops.zeros((), x.dtype))
