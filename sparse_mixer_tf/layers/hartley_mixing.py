"""Hartley mixing."""

import keras

from sparse_mixer_tf.layers.mixing import Mixing
from sparse_mixer_tf.layers.structured_matrices import hartley_fft, hartley_matmul


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
