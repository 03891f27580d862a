"""The mixture-of-experts sublayer: router, dispatch and experts put together."""

import functools

import keras
from keras import ops

from sparse_mixer_tf.layers.dispatch import from_experts, to_experts
from sparse_mixer_tf.layers.dropless import (
    block_sizes,
    dropless,
    overflow_blocks,
    overflow_size,
)
from sparse_mixer_tf.layers.dropout import drop
from sparse_mixer_tf.layers.experts import Experts, expert_feed_forward
from sparse_mixer_tf.layers.observation import observed, report_routing
from sparse_mixer_tf.layers.router import Router
from sparse_mixer_tf.layers.router_losses import balance_loss, router_z_loss
from sparse_mixer_tf.layers.router_metrics import dropless_metrics, router_entropy, slot_metrics
from sparse_mixer_tf.layers.routing import experts_choose, tokens_choose
from sparse_mixer_tf.layers.routing_settings import RoutingSettings
from sparse_mixer_tf.layers.token_groups import group_tokens, ungroup_tokens


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

    References:
        [Sparse Mixers](https://arxiv.org/abs/2205.12399).
    """

    def __init__(
        self,
        d_ff: int,
        routing: RoutingSettings | dict | None = None,
        dropout_rate: float = 0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if not isinstance(routing, RoutingSettings):
            routing = RoutingSettings.from_dict(routing or {})
        self.d_ff = d_ff
        self.routing = routing
        self.dropout_rate = dropout_rate
        # For `fit`, whose batch size is unknown when compiling: branches over unknown sizes crash
        # XLA (TensorFlow 2.21). With static shapes it compiles.
        self.supports_jit = routing.router != "dropless"
        self.router = Router(routing.num_experts, routing.jitter_noise, name="router")
        self.experts = Experts(
            routing.num_experts, d_ff, dropout_rate, name="experts", dtype=self.dtype_policy
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
        probabilities = ops.softmax(logits, axis=-1)
        if settings.router == "dropless":
            y, metrics = self._without_capacity(tokens, probabilities, real, training)
        else:
            y, metrics = self._with_capacity(tokens, probabilities, real, training)
        self._account(logits, probabilities, real, metrics)
        return ungroup_tokens(y, ops.shape(x))

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
        return y, slot_metrics(routing, real, chosen_by_experts) if observed() else {}

    def _without_capacity(self, tokens, probabilities, real, training):
        settings, num_tokens = self.routing, ops.shape(tokens)[1]
        routing, overflow = dropless(probabilities, real, settings.num_selected_experts)
        outputs = self.experts(to_experts(tokens, routing, settings.dispatch), training=training)
        y = from_experts(outputs, routing, num_tokens, settings.dispatch)
        # The key is drawn before the branch: later layers meet the same bits whichever way it goes.
        dropout = self.experts.dropout
        key = dropout.next_key() if training else None
        weights = self.experts.tensors()

        def run_blocks(size, tokens, probabilities, *weights):
            blocks, expert_index = overflow_blocks(probabilities, overflow, size)
            rows = to_experts(tokens, blocks, "gather")
            # Behind a reshape the gradient is dense: XLA takes no slices out of a branch.
            weights = [ops.reshape(weight, weight.shape) for weight in weights]
            copies = [ops.take(weight, expert_index, axis=0) for weight in weights]
            outputs = expert_feed_forward(rows, *copies)
            if key is not None:
                outputs = drop(outputs, dropout.rate, key)
            return from_experts(outputs, blocks, num_tokens, "gather")

        little, large = block_sizes(ops.shape(overflow.token)[1], settings.num_experts)
        # Recomputed going backward: under XLA a branch not taken stores what its gradient would
        # need all the same, as zeros, and the large blocks copy the weights three times.
        run_large = keras.remat(functools.partial(run_blocks, large))
        y = y + ops.switch(
            overflow_size(overflow, settings.num_experts),
            [
                lambda: ops.zeros_like(y),
                lambda: run_blocks(little, tokens, probabilities, *weights),
                lambda: run_large(tokens, probabilities, *weights),
            ],
        )
        if not observed():
            return y, {}
        selected = settings.num_selected_experts
        return y, dropless_metrics(routing, overflow, probabilities, real, selected)

    def _account(self, logits, probabilities, real, metrics):
        """Adds the losses, and reports them with the metrics where somebody observes."""
        settings = self.routing
        z_loss = router_z_loss(logits, real)
        self.add_loss(settings.router_z_loss_factor * z_loss)
        balance = ops.zeros(())
        if settings.router != "experts_choose":
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
        }
