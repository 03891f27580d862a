"""The dense feed-forward sublayer."""

import keras
from keras import ops

from sparse_mixer_tf.layers.dropout import Dropout
from sparse_mixer_tf.layers.initialization import dense


@keras.saving.register_keras_serializable(package="sparse_mixer_tf")
class FeedForward(keras.layers.Layer):
    """Dense, gelu (tanh approximation), dense, dropout; each token on its own.

    Args:
        d_ff: width of the hidden layer.
        dropout_rate: dropout on the output.
    """

    def __init__(self, d_ff: int, dropout_rate: float = 0.0, **kwargs):
        super().__init__(**kwargs)
        self.d_ff = d_ff
        self.dropout_rate = dropout_rate
        self.intermediate = dense(d_ff, "intermediate", self.dtype_policy)
        self.dropout = Dropout(dropout_rate, name="dropout", dtype=self.dtype_policy)

    def build(self, input_shape):
        self.output_projection = dense(input_shape[-1], "output", self.dtype_policy)
        self.intermediate.build(input_shape)
        self.output_projection.build((*input_shape[:-1], self.d_ff))

    def call(self, x, padding_mask=None, training=None):
        """[batch, seq, d_model] to the same shape; `padding_mask` is not looked at."""
        hidden = ops.gelu(self.intermediate(x), approximate=True)
        return self.dropout(self.output_projection(hidden), training=training)

    def compute_output_shape(self, x_shape, padding_mask_shape=None):
        return x_shape

    def get_config(self):
        return {**super().get_config(), "d_ff": self.d_ff, "dropout_rate": self.dropout_rate}
