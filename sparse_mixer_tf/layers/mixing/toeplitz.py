"""Toeplitz mixing."""

import keras
from keras import ops

from sparse_mixer_tf.layers.initializers import kernel_initializer
from sparse_mixer_tf.layers.mixing.base import Mixing
from sparse_mixer_tf.layers.mixing.transforms import (
    toeplitz_fft,
    toeplitz_matrix,
    two_sided_product,
)


@keras.saving.register_keras_serializable(package="sparse_mixer_tf")
class ToeplitzMixing(Mixing):
    """Learned convolutions, not circular, along the sequence and along the features.

    `y = T(input_kernel) x T(hidden_kernel)^T`, one weight for each diagonal.
    """

    def build(self, input_shape):
        super().build(input_shape)
        self.input_kernel = self.add_weight(
            name="input_kernel", shape=(2 * self.seq - 1,), initializer=kernel_initializer()
        )
        self.hidden_kernel = self.add_weight(
            name="hidden_kernel", shape=(2 * self.hidden - 1,), initializer=kernel_initializer()
        )

    def mix_by_fft(self, x):
        kernels = [ops.cast(k, "float32") for k in (self.input_kernel, self.hidden_kernel)]
        return toeplitz_fft(x, *kernels)

    def mix_by_matmul(self, x):
        left = toeplitz_matrix(ops.convert_to_tensor(self.input_kernel))
        right = toeplitz_matrix(ops.convert_to_tensor(self.hidden_kernel))
        return two_sided_product(left, x, ops.transpose(right))
