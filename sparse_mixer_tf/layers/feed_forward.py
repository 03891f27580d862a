"""The dense feed-forward sublayer."""

import keras

from sparse_mixer_tf.layers.activations import ACTIVATIONS, activation_named
from sparse_mixer_tf.layers.dropout import Dropout
from sparse_mixer_tf.layers.initializers import check_style, dense

GATED = "gated_gelu"


@keras.saving.register_keras_serializable(package="sparse_mixer_tf")
class FeedForward(keras.layers.Layer):
    """Dense, activation, dense; each token on its own.

    Args:
        d_ff: width of the hidden layer.
        dropout_rate: dropout on the output.
        activation: `gelu` (tanh approximation), `gelu_exact`, `relu`, or `gated_gelu`: gelu of one
            projection times another one.
        inner_dropout_rate: dropout on the hidden layer, after the activation.
        initializer: `normal` or `torch`, see `initialization.dense`.

    Raises:
        ValueError: `activation` or `initializer` is unknown.

    References:
        [GLU variants](https://arxiv.org/abs/2002.05202) for `gated_gelu`.
    """

    def __init__(
        self,
        d_ff: int,
        dropout_rate: float = 0.0,
        activation: str = "gelu",
        inner_dropout_rate: float = 0.0,
        initializer: str = "normal",
        **kwargs,
    ):
        super().__init__(**kwargs)
        known = (*ACTIVATIONS, GATED)
        if activation not in known:
            raise ValueError(f"activation={activation!r} is unknown; use one of {', '.join(known)}")
        check_style(initializer)
        self.d_ff = d_ff
        self.dropout_rate = dropout_rate
        self.activation = activation
        self.inner_dropout_rate = inner_dropout_rate
        self.initializer = initializer
        self.inner_dropout = Dropout(
            inner_dropout_rate, name="inner_dropout", dtype=self.dtype_policy
        )
        self.dropout = Dropout(dropout_rate, name="dropout", dtype=self.dtype_policy)

    def build(self, input_shape):
        d_model, d_ff = input_shape[-1], self.d_ff
        inner = (*input_shape[:-1], d_ff)
        self.intermediate = self._dense(d_ff, "intermediate", input_shape)
        self.output_projection = self._dense(d_model, "output", inner)
        if self.activation == GATED:
            self.gate = self._dense(d_ff, "gate", input_shape)

    def _dense(self, units: int, name: str, input_shape) -> keras.layers.Dense:
        layer = dense(units, name, self.dtype_policy, self.initializer, input_shape[-1])
        layer.build(input_shape)
        return layer

    def call(self, x, padding_mask=None, training=None):
        """[batch, seq, d_model] to the same shape; `padding_mask` is not looked at."""
        activation = activation_named("gelu" if self.activation == GATED else self.activation)
        hidden = activation.function(self.intermediate(x))
        if self.activation == GATED:
            hidden = hidden * self.gate(x)
        hidden = self.inner_dropout(hidden, training=training)
        return self.dropout(self.output_projection(hidden), training=training)

    def compute_output_shape(self, x_shape, padding_mask_shape=None):
        return x_shape

    def get_config(self):
        return {
            **super().get_config(),
            "d_ff": self.d_ff,
            "dropout_rate": self.dropout_rate,
            "activation": self.activation,
            "inner_dropout_rate": self.inner_dropout_rate,
            "initializer": self.initializer,
        }
