"""Fourier mixing.

Hartley mixing.
"""

import keras

from sparse_mixer_tf.layers.mixing.base import Mixing
from sparse_mixer_tf.layers.mixing.transforms import (
    fourier_fft,
    fourier_matmul,
    hartley_fft,
    hartley_matmul,
)


@keras.saving.register_keras_serializable(package="sparse_mixer_tf")
class FourierMixing(Mixing):
    """The real part of the unnormalised 2-D Fourier transform over sequence and features.

    It has no weights and takes sequences of any length.

    References:
        [FNet](https://arxiv.org/abs/2105.03824).
    """

    fft_from = 128
    fixed_length = False

    def mix_by_fft(self, x):
        return fourier_fft(x)

    def mix_by_matmul(self, x):
        return fourier_matmul(x)


@keras.saving.register_keras_serializable(package="sparse_mixer_tf")
class HartleyMixing(Mixing):
    """Real minus imaginary part of the unnormalised 2-D Fourier transform.

    It has no weights and takes sequences of any length.
    """

    fft_from = 128
    fixed_length = False

    def mix_by_fft(self, x):
        return hartley_fft(x)

    def mix_by_matmul(self, x):
        return hartley_matmul(x)
