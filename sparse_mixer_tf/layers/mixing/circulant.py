"""Circulant mixing."""

import keras
from keras import ops

from sparse_mixer_tf.layers.initializers import kernel_initializer
from sparse_mixer_tf.layers.mixing.base import Mixing
from sparse_mixer_tf.layers.mixing.transforms import (
    circulant_fft,
    circulant_matrix,
    two_sided_product,
)


@keras.saving.register_keras_serializable(package="sparse_mixer_tf")
class CirculantMixing(Mixing):
    """Learned circular convolutions along the sequence and along the features.

    `y = C(input_kernel) x C(hidden_kernel)^T`: as published, the hidden matrix is transposed
    where that of `LinearMixing` is not.
    """

    fft_from = 512

    def build(self, input_shape):
        super().build(input_shape)
        self.input_kernel = self.add_weight(
            name="input_kernel", shape=(self.seq,), initializer=kernel_initializer()
        )
        self.hidden_kernel = self.add_weight(
            name="hidden_kernel", shape=(self.hidden,), initializer=kernel_initializer()
        )

    def mix_by_fft(self, x):
        kernels = [ops.cast(k, "float32") for k in (self.input_kernel, self.hidden_kernel)]
        return circulant_fft(x, *kernels)

    def mix_by_matmul(self, x):
        left = circulant_matrix(ops.convert_to_tensor(self.input_kernel))
        right = circulant_matrix(ops.convert_to_tensor(self.hidden_kernel))
        return two_sided_product(left, x, ops.transpose(right))
