"""Learned linear mixing."""

import keras

from sparse_mixer_tf.layers.initializers import kernel_initializer
from sparse_mixer_tf.layers.mixing.base import Mixing
from sparse_mixer_tf.layers.mixing.transforms import two_sided_product


@keras.saving.register_keras_serializable(package="sparse_mixer_tf")
class LinearMixing(Mixing):
    """Two learned matrices, one along the sequence, one along the features, no bias.

    `y = input_kernel x hidden_kernel`, always by matrix products.

    References:
        [FNet](https://arxiv.org/abs/2105.03824), the "Linear" encoder.
    """

    def build(self, input_shape):
        super().build(input_shape)
        self.uses_fft = False
        self.input_kernel = self.add_weight(
            name="input_kernel", shape=(self.seq, self.seq), initializer=kernel_initializer()
        )
        self.hidden_kernel = self.add_weight(
            name="hidden_kernel", shape=(self.hidden, self.hidden), initializer=kernel_initializer()
        )

    def mix_by_matmul(self, x):
        return two_sided_product(self.input_kernel, x, self.hidden_kernel)
