"""Many feed-forward networks as one batched matmul pair."""

import keras
from keras import ops

from sparse_mixer_tf.layers.dropout import Dropout
from sparse_mixer_tf.layers.initialization import kernel_initializer


@keras.saving.register_keras_serializable(package="sparse_mixer_tf")
class Experts(keras.layers.Layer):
    """Feed-forward networks side by side, each with its own rows and its own weights.

    Args:
        num_experts: number of experts.
        d_ff: width of the hidden layer of each.
        dropout_rate: dropout on the outputs.
    """

    def __init__(self, num_experts: int, d_ff: int, dropout_rate: float = 0.0, **kwargs):
        super().__init__(**kwargs)
        self.num_experts = num_experts
        self.d_ff = d_ff
        self.dropout_rate = dropout_rate
        self.dropout = Dropout(dropout_rate, name="dropout", dtype=self.dtype_policy)

    def build(self, input_shape):
        d_model, experts = input_shape[-1], self.num_experts
        self.kernel_in = self._kernel("kernel_in", (experts, d_model, self.d_ff))
        self.bias_in = self._bias("bias_in", (experts, self.d_ff))
        self.kernel_out = self._kernel("kernel_out", (experts, self.d_ff, d_model))
        self.bias_out = self._bias("bias_out", (experts, d_model))

    def call(self, x, training=None):
        """Runs every expert on its rows.

        Args:
            x: [num_experts, rows, d_model].
            training: whether to drop out.

        Returns:
            [num_experts, rows, d_model].
        """
        return self.dropout(expert_feed_forward(x, *self.tensors()), training=training)

    def tensors(self) -> list:
        """Kernels and biases as tensors of the compute dtype, in the order of the layers."""
        weights = (self.kernel_in, self.bias_in, self.kernel_out, self.bias_out)
        return [ops.cast(weight, self.compute_dtype) for weight in weights]

    def _kernel(self, name, shape):
        return self.add_weight(name=name, shape=shape, initializer=kernel_initializer())

    def _bias(self, name, shape):
        return self.add_weight(name=name, shape=shape, initializer="zeros")

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "num_experts": self.num_experts,
            "d_ff": self.d_ff,
            "dropout_rate": self.dropout_rate,
        }


def expert_feed_forward(x, kernel_in, bias_in, kernel_out, bias_out):
    """Dense, gelu (tanh approximation), dense; the expert is the first axis of everything.

    Args:
        x: [experts, rows, d_model].
        kernel_in: [experts, d_model, d_ff].
        bias_in: [experts, d_ff].
        kernel_out: [experts, d_ff, d_model].
        bias_out: [experts, d_model].

    Returns:
        [experts, rows, d_model].
    """
    hidden = ops.gelu(ops.matmul(x, kernel_in) + bias_in[:, None, :], approximate=True)
    return ops.matmul(hidden, kernel_out) + bias_out[:, None, :]
