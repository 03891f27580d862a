"""Many feed-forward networks side by side."""

import keras
from keras import ops

from sparse_mixer_tf.layers.activations import activation_named
from sparse_mixer_tf.layers.dropout import Dropout
from sparse_mixer_tf.layers.initializers import kernel_initializer as usual_initializer
from sparse_mixer_tf.layers.moe.dropless_experts import choice_feed_forward
from sparse_mixer_tf.layers.moe.expert_ffn import ExpertWeights, HiddenLayer, expert_feed_forward
from sparse_mixer_tf.layers.moe.expert_parallel import (
    current_exchange,
    rows_from_owners,
    rows_to_owners,
    serve_choices_apart,
)
from sparse_mixer_tf.layers.moe.permutation import Choices


@keras.saving.register_keras_serializable(package="sparse_mixer_tf")
class Experts(keras.layers.Layer):
    """Feed-forward networks side by side, each with its own rows and its own weights.

    Made inside an `experts_apart` block, it holds on each replica the weights of as many experts
    as the replica owns. It is called as ever, with rows of all experts.

    Args:
        num_experts: number of experts.
        d_ff: width of the hidden layer of each.
        dropout_rate: dropout on the outputs.
        activation: `gelu` (tanh approximation), `gelu_exact` or `relu`.
        inner_dropout_rate: dropout on the hidden layer, after the activation.
        kernel_initializer: of both kernels; normal of standard deviation 0.02 where `None`.
    """

    def __init__(
        self,
        num_experts: int,
        d_ff: int,
        dropout_rate: float = 0.0,
        activation: str = "gelu",
        inner_dropout_rate: float = 0.0,
        kernel_initializer: keras.initializers.Initializer | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        activation_named(activation)
        self.num_experts = num_experts
        self.d_ff = d_ff
        self.dropout_rate = dropout_rate
        self.activation = activation
        self.inner_dropout_rate = inner_dropout_rate
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self._exchange = current_exchange()
        self.dropout = Dropout(dropout_rate, name="dropout", dtype=self.dtype_policy)
        self.inner_dropout = Dropout(
            inner_dropout_rate, name="inner_dropout", dtype=self.dtype_policy
        )

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
        apart = self._is_apart()
        if apart:
            x = rows_to_owners(x, self._exchange)
        y, _ = expert_feed_forward(x, self._weights(), self._hidden_layer(training))
        y = self.dropout(y, training=training)
        return rows_from_owners(y, self._exchange) if apart else y

    def on_choices(self, x, gate, choices: Choices, dispatch: str, training=None):
        """Runs the experts that each token chose and adds up what they say.

        Args:
            x: [tokens, d_model].
            gate: float32 [choices], see `dropless.choose`.
            choices: who chose whom.
            dispatch: `gather` or `einsum`.
            training: whether to drop out.

        Returns:
            [tokens, d_model].
        """
        hidden = self._hidden_layer(training)

        def serve(rows, gate, choices):
            return choice_feed_forward(rows, gate, self._weights(), choices, hidden, dispatch)

        if self._is_apart():
            y = serve_choices_apart(x, gate, choices, self._exchange, serve)
        else:
            y = serve(x, gate, choices)
        return self.dropout(y, training=training)

    def _is_apart(self) -> bool:
        return self._exchange is not None and self._exchange.is_between_replicas()

    def _weights(self) -> ExpertWeights:
        weights = (self.kernel_in, self.bias_in, self.kernel_out, self.bias_out)
        if self._exchange is not None and not self._exchange.is_between_replicas():
            weights = (self._exchange.whole(weight) for weight in weights)
        return ExpertWeights(*(ops.cast(weight, self.compute_dtype) for weight in weights))

    def _hidden_layer(self, training) -> HiddenLayer:
        key = self.inner_dropout.next_key() if training else None
        return HiddenLayer(activation_named(self.activation), self.inner_dropout_rate, key)

    def _kernel(self, name, shape):
        # A copy for each weight: a Keras initializer returns the same values for each call.
        initializer = usual_initializer()
        if self.kernel_initializer is not None:
            initializer = self.kernel_initializer.clone()
        return self._weight(name, shape, initializer)

    def _bias(self, name, shape):
        return self._weight(name, shape, keras.initializers.Zeros())

    def _weight(self, name, shape, initializer):
        exchange = self._exchange
        if exchange is None:
            return self.add_weight(name=name, shape=shape, initializer=initializer)
        own = (shape[0] // exchange.parts, *shape[1:])
        with exchange.owned():
            # What is another on every replica cannot cast itself outside of them; `_weights` casts.
            weight = self.add_weight(name=name, shape=own, initializer="zeros", autocast=False)
        exchange.hand_out(weight, initializer(shape, dtype=weight.dtype))
        return weight

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "num_experts": self.num_experts,
            "d_ff": self.d_ff,
            "dropout_rate": self.dropout_rate,
            "activation": self.activation,
            "inner_dropout_rate": self.inner_dropout_rate,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }
