"""One vector for a whole sequence."""

import keras
from keras import ops

from sparse_mixer_tf.layers.initializers import dense


@keras.saving.register_keras_serializable(package="sparse_mixer_tf")
class Pooler(keras.layers.Layer):
    """A dense layer and tanh on the first token: [batch, seq, d_model] to [batch, d_model]."""

    def build(self, input_shape):
        self.projection = dense(input_shape[-1], "projection", self.dtype_policy)
        self.projection.build((input_shape[0], input_shape[-1]))

    def call(self, x):
        return ops.tanh(self.projection(x[:, 0]))

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[-1])
