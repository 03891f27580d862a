"""The mixture-of-experts sublayer: router, dispatch and experts put together."""

import dataclasses

import keras
from keras import ops

from sparse_mixer_tf.layers.initializers import ExpertUniform, check_style
from sparse_mixer_tf.layers.intermediates import observed, report, report_routing
from sparse_mixer_tf.layers.moe.aux_losses import balance_loss, router_z_loss
from sparse_mixer_tf.layers.moe.config import RoutingSettings
from sparse_mixer_tf.layers.moe.dispatch import from_experts, to_experts
from sparse_mixer_tf.layers.moe.experts import Experts
from sparse_mixer_tf.layers.moe.metrics import (
    dropless_metrics,
    gates_of_choices,
    gates_of_slots,
    router_entropy,
    slot_metrics,
)
from sparse_mixer_tf.layers.moe.permutation import choose
from sparse_mixer_tf.layers.moe.router import Router, gate_weights
from sparse_mixer_tf.layers.moe.routing import (
    experts_choose,
    group_tokens,
    tokens_choose,
    ungroup_tokens,
)
from sparse_mixer_tf.layers.rng import next_key


@keras.saving.register_keras_serializable(package="sparse_mixer_tf")
class MixtureOfExperts(keras.layers.Layer):
    """A feed-forward sublayer of many experts, of which each token meets a few.

    Balance loss and z-loss, times their factors, are added to the layer's losses; inside an
    `observe_routing` block they are reported unscaled, with the metrics of the routing. Tokens that
    reach no expert, and padding, come out as 0.

    Args:
        d_ff: width of the hidden layer of each expert.
        routing: settings, or a dict of them.
        dropout_rate: dropout on the experts' outputs.
        activation: `gelu` (tanh approximation), `gelu_exact` or `relu`.
        inner_dropout_rate: dropout on the experts' hidden layer, after the activation.
        initializer: `normal` or `torch`, see `initialization`.

    References:
        [Sparse Mixers](https://arxiv.org/abs/2205.12399).
    """

    def __init__(
        self,
        d_ff: int,
        routing: RoutingSettings | dict | None = None,
        dropout_rate: float = 0.0,
        activation: str = "gelu",
        inner_dropout_rate: float = 0.0,
        initializer: str = "normal",
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_style(initializer)
        if not isinstance(routing, RoutingSettings):
            routing = RoutingSettings.from_dict(routing or {})
        self.d_ff = d_ff
        self.routing = routing
        self.dropout_rate = dropout_rate
        self.activation = activation
        self.inner_dropout_rate = inner_dropout_rate
        self.initializer = initializer
        # For `fit`, whose batch size TensorFlow does not know when compiling: branches over unknown
        # sizes crash its XLA (2.21). With static shapes, as JAX always has them, it compiles.
        self.supports_jit = routing.router != "dropless" or keras.backend.backend() == "jax"
        self.router = Router(
            routing.num_experts,
            routing.router_jitter,
            use_bias=routing.router_bias,
            learned_noise=routing.gate == "noisy_top_k",
            frozen=routing.gate == "frozen_random",
            initializer=initializer,
            name="router",
        )
        self.seed_generator = keras.random.SeedGenerator() if routing.gate == "gshard" else None
        self.experts = Experts(
            routing.num_experts,
            d_ff,
            dropout_rate,
            activation,
            inner_dropout_rate,
            kernel_initializer=ExpertUniform() if initializer == "torch" else None,
            name="experts",
            dtype=self.dtype_policy,
        )

    def build(self, input_shape):
        self.router.build(input_shape)
        self.experts.build((self.routing.num_experts, None, input_shape[-1]))

    def call(self, x, padding_mask=None, training=None):
        """Sends the tokens to their experts and adds up what comes back.

        Args:
            x: [batch, seq, d_model].
            padding_mask: bool [batch, seq], true on real tokens; all are real where `None`.
            training: whether to drop out, to jitter, and which capacity factor to use.

        Returns:
            [batch, seq, d_model].
        """
        settings = self.routing
        real = None if settings.route_padding else padding_mask
        group_size = None if settings.router == "dropless" else settings.max_group_size
        tokens, real = group_tokens(x, real, group_size)
        logits = self.router(tokens, training=training)
        weights = self._weights(logits, training)
        if settings.router == "dropless":
            y, metrics, gates = self._without_capacity(tokens, weights, real, training)
        else:
            y, metrics, gates = self._with_capacity(tokens, weights, real, training)
        self._account(logits, real, metrics)
        if observed("assignments"):
            shape = (*ops.shape(x)[:2], settings.num_experts)
            report("assignments", self.path, ungroup_tokens(gates, shape))
        return ungroup_tokens(y, ops.shape(x))

    def select_experts(self, num_selected_experts: int) -> None:
        """Lets tokens choose another number of experts from the next call on.

        Functions compiled before keep the old number.

        Raises:
            ValueError: the settings do not allow it.
        """
        self.routing = dataclasses.replace(self.routing, num_selected_experts=num_selected_experts)

    def _weights(self, logits, training):
        settings = self.routing
        skips = training and settings.gate == "gshard"
        key = next_key(self.seed_generator) if skips else None
        return gate_weights(logits, settings.gate, settings.num_selected_experts, key)

    def _with_capacity(self, tokens, probabilities, real, training):
        settings = self.routing
        factor = settings.capacity_factor_when(training)
        if settings.router == "experts_choose":
            routing = experts_choose(probabilities, real, factor, settings.min_expert_capacity)
        else:
            routing = tokens_choose(
                probabilities,
                real,
                settings.num_selected_experts,
                factor,
                settings.min_expert_capacity,
                settings.batch_prioritized_routing,
            )
        outputs = self.experts(to_experts(tokens, routing, settings.dispatch), training=training)
        y = from_experts(outputs, routing, ops.shape(tokens)[1], settings.dispatch)
        chosen_by_experts = settings.router == "experts_choose"
        metrics = slot_metrics(routing, real, chosen_by_experts) if observed() else {}
        looked_at = observed("assignments")
        return y, metrics, gates_of_slots(routing, ops.shape(tokens)[1]) if looked_at else None

    def _without_capacity(self, tokens, probabilities, real, training):
        settings = self.routing
        # There is one group.
        tokens, probabilities, real = (ops.squeeze(y, 0) for y in (tokens, probabilities, real))
        choices, gate = choose(probabilities, real, settings.num_selected_experts)
        y = self.experts.on_choices(tokens, gate, choices, settings.dispatch, training=training)
        metrics = dropless_metrics(choices, gate) if observed() else {}
        looked_at = observed("assignments")
        gates = gates_of_choices(choices, gate, ops.shape(tokens)[0]) if looked_at else None
        return y[None], metrics, gates

    def _account(self, logits, real, metrics):
        """Adds the losses, and reports them with the metrics where somebody observes."""
        settings = self.routing
        probabilities = ops.softmax(logits, axis=-1)
        z_loss = balance = ops.zeros(())
        if settings.router_z_loss_factor > 0 or observed():
            z_loss = router_z_loss(logits, real)
            self.add_loss(settings.router_z_loss_factor * z_loss)
        balances = settings.balance_loss_factor > 0 or observed()
        if balances and settings.router != "experts_choose":
            balance = balance_loss(probabilities, real, settings.num_selected_experts)
            self.add_loss(settings.balance_loss_factor * balance)
        if observed():
            losses = {"balance_loss": balance, "router_z_loss": z_loss}
            entropy = {"router_entropy": router_entropy(probabilities, real)}
            report_routing(self.path, {**losses, **metrics, **entropy})

    def compute_output_shape(self, x_shape, padding_mask_shape=None):
        return x_shape

    def get_config(self):
        return {
            **super().get_config(),
            "d_ff": self.d_ff,
            "routing": self.routing.to_dict(),
            "dropout_rate": self.dropout_rate,
            "activation": self.activation,
            "inner_dropout_rate": self.inner_dropout_rate,
            "initializer": self.initializer,
        }
