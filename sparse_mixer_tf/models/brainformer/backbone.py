"""The causal stack: embeddings, then sublayers that see the past through a carried memory."""

import dataclasses
from collections.abc import Sequence

import keras
import keras_hub
import numpy as np
from keras import ops

from sparse_mixer_tf.architecture import check_causal, parse
from sparse_mixer_tf.layers import (
    AdaptiveSpan,
    CausalSublayer,
    MixtureOfExperts,
    PositionTable,
    RelativeSelfAttention,
    RoutingSettings,
    remember,
)
from sparse_mixer_tf.layers.initializers import check_style, kernel_initializer, layer_norm
from sparse_mixer_tf.models.sublayer_stack import (
    check_routing,
    feed_forward_sublayer,
    stack_sublayers,
)


@keras.saving.register_keras_serializable(package="sparse_mixer_tf")
class BrainformerBackbone(keras_hub.models.Backbone):
    """A language model's stack of residual sublayers, one letter each, that reads block by block.

    `s` self-attention over the block and a memory of `attn_span` rows, `f` dense feed-forward, `g`
    mixture-of-experts feed-forward. The original Brainformer is `sgfgfg.sgfgfg` with shared block
    weights, the paper's block `sfgggfff` with `norm="pre"` and `activation="gated_gelu"`.

    Inputs are a dict of `token_ids` int32 `[batch, block]`, of any block length, and `memory`
    `[batch, num_memories, attn_span, d_model]`, zeros before the first block. Outputs are
    `sequence_output [batch, block, d_model]` and `memory`, for the next block, without gradient.

    With shared block weights, each block that has an `s` keeps one memory, of the rows that enter
    the block; without, each `s` keeps one, of the rows that enter it.

    Args:
        vocabulary_size: number of token ids.
        architecture: the sublayers in order; `N*(…)` repeats, `.` separates blocks.
        d_model: width of the residual stream.
        d_ff: hidden width of the dense feed-forwards.
        num_heads: attention heads.
        attn_span: how many tokens back attention sees.
        expert_d_ff: hidden width of each expert; `d_ff` where None.
        dropout_rate: on attention probabilities, hidden layers of feed-forwards and experts, and
            the outputs of experts.
        routing: a `RoutingSettings` or a dict of its fields; needed where the string has a `g`.
        share_block_weights: letters repeated inside one `.`-block are one sublayer.
        attend_to_self: a token sees itself and the `attn_span` - 1 before it.
        adapt_span: learn for each head how much of the span it sees.
        adapt_span_ramp: tokens over which a learned span ends.
        adapt_span_init: learned span at the start, as a share of `attn_span`.
        adapt_span_loss: weight of the learned spans, in tokens, in the loss.
        norm: `post`, or `pre` with one more LayerNorm at the end.
        activation: `relu`, `gelu` or `gated_gelu`; experts have no gate of their own.
        initializer: initial values and LayerNorm epsilon, `torch` as in the original, or `normal`.
        dtype: a dtype or a `keras.DTypePolicy`.

    Raises:
        ValueError: for a string that does not parse, sublayers or routing that look ahead, a `g`
            without `routing`, heads that do not divide `d_model`.

    Examples:
    ```python
    backbone = BrainformerBackbone(
        vocabulary_size=256,
        architecture="sgfgfg.sgfgfg",
        d_model=128,
        d_ff=256,
        num_heads=4,
        attn_span=512,
        routing={"num_experts": 16, "router": "dropless", "gate": "top_k",
                 "num_selected_experts": 2},
        share_block_weights=True,
    )
    token_ids = keras.ops.ones((2, 64), "int32")
    outputs = backbone({"token_ids": token_ids, "memory": backbone.no_memory(2)})
    ```

    References:
        [Brainformers](https://arxiv.org/abs/2306.00008),
        [Adaptive attention span](https://arxiv.org/abs/1905.07799)
    """

    def __init__(
        self,
        vocabulary_size: int,
        architecture: str,
        d_model: int,
        d_ff: int,
        num_heads: int = 8,
        attn_span: int = 512,
        expert_d_ff: int | None = None,
        dropout_rate: float = 0.0,
        routing: RoutingSettings | dict | None = None,
        share_block_weights: bool = False,
        attend_to_self: bool = False,
        adapt_span: bool = False,
        adapt_span_ramp: int = 32,
        adapt_span_init: float = 0.0,
        adapt_span_loss: float = 0.0,
        norm: str = "post",
        activation: str = "relu",
        initializer: str = "torch",
        dtype=None,
        **kwargs,
    ):
        layout = parse(architecture)
        routing = check_routing(architecture, layout, routing)
        check_causal(layout, routing.router if routing else None)
        if "g" in layout.letters:
            routing.check_causal()
        check_style(initializer)
        if d_model % num_heads:
            raise ValueError(
                f"d_model={d_model} is not divisible by num_heads={num_heads}; "
                "choose --num_heads among its divisors"
            )

        def attention() -> RelativeSelfAttention:
            adaptive_span = None
            if adapt_span:
                adaptive_span = AdaptiveSpan(
                    num_heads,
                    attn_span,
                    adapt_span_ramp,
                    adapt_span_init,
                    adapt_span_loss,
                    name="adaptive_span",
                )
            return RelativeSelfAttention(
                num_heads,
                attn_span,
                dropout_rate,
                attend_to_self,
                adaptive_span,
                initializer,
                dtype=dtype,
                name="attention",
            )

        def sublayer(letter: str, name: str) -> CausalSublayer:
            inner = (
                attention()
                if letter == "s"
                else feed_forward_sublayer(
                    letter,
                    d_ff=d_ff,
                    expert_d_ff=expert_d_ff or d_ff,
                    routing=routing,
                    dropout_rate=0.0,
                    expert_dropout_rate=dropout_rate,
                    inner_dropout_rate=dropout_rate,
                    activation=activation,
                    initializer=initializer,
                    dtype=dtype,
                )
            )
            layer = CausalSublayer(inner, norm, initializer, dtype=dtype, name=name)
            layer.build((None, None, d_model))
            return layer

        # === Layers ===
        embedding_initializer = kernel_initializer()
        if initializer == "torch":
            embedding_initializer = keras.initializers.RandomNormal(stddev=1.0)
        self.token_embedding = keras.layers.Embedding(
            vocabulary_size, d_model, embedding_initializer, dtype=dtype, name="token_embedding"
        )
        self.position_table = None
        if "s" in layout.letters:
            self.position_table = PositionTable(
                attn_span, d_model // num_heads, initializer, dtype=dtype, name="position_table"
            )
        blocks = stack_sublayers(layout, sublayer, share_block_weights)
        self.sublayers = [layer for block in blocks for layer in block]
        self.final_norm = layer_norm("final_norm", dtype) if norm == "pre" else None

        # === Functional Model ===
        num_attending = [letters.count("s") for letters in layout.blocks]
        num_memories = sum(min(n, 1) if share_block_weights else n for n in num_attending)
        token_ids = keras.Input((None,), dtype="int32", name="token_ids")
        memory = keras.Input(
            (num_memories, attn_span, d_model),
            dtype=self.token_embedding.compute_dtype,
            name="memory",
        )
        x = self.token_embedding(token_ids)
        if self.position_table is not None:
            position_table = self.position_table(token_ids)
        remembered = []
        for letters, block in zip(layout.blocks, blocks, strict=True):
            if share_block_weights and "s" in letters:
                remembered.append(x)
            for letter, layer in zip(letters, block, strict=True):
                if letter != "s":
                    x = layer(x)
                    continue
                if not share_block_weights:
                    remembered.append(x)
                x = layer(x, memory[:, len(remembered) - 1], position_table)
        new_memory = [remember(memory[:, i], rows) for i, rows in enumerate(remembered)]
        new_memory = ops.stack(new_memory, axis=1) if new_memory else ops.stop_gradient(memory)
        if self.final_norm is not None:
            x = self.final_norm(x)
        super().__init__(
            inputs={"token_ids": token_ids, "memory": memory},
            outputs={"sequence_output": x, "memory": new_memory},
            dtype=dtype,
            **kwargs,
        )

        # === Config ===
        self.vocabulary_size = vocabulary_size
        self.architecture = architecture
        self.d_model = d_model
        self.d_ff = d_ff
        self.num_heads = num_heads
        self.attn_span = attn_span
        self.expert_d_ff = expert_d_ff or d_ff
        self.dropout_rate = dropout_rate
        self.routing = routing
        self.share_block_weights = share_block_weights
        self.attend_to_self = attend_to_self
        self.adapt_span = adapt_span
        self.adapt_span_ramp = adapt_span_ramp
        self.adapt_span_init = adapt_span_init
        self.adapt_span_loss = adapt_span_loss
        self.norm = norm
        self.activation = activation
        self.initializer = initializer
        self.num_memories = num_memories

    def no_memory(self, batch_size: int):
        """Zeros, what the first block of a text finds: [batch, num_memories, span, d_model]."""
        shape = (batch_size, self.num_memories, self.attn_span, self.d_model)
        return ops.zeros(shape, self.compute_dtype)

    @property
    def attentions(self) -> dict[str, RelativeSelfAttention]:
        """The attention layers by the name of their sublayer, each once, in order."""
        return {
            layer.name: layer.inner
            for layer in self.sublayers
            if isinstance(layer.inner, RelativeSelfAttention)
        }

    def needed_spans(self) -> tuple[int, ...]:
        """For each attention the nearest slots that hold all that its learned spans can see.

        One of a few numbers, `attn_span` less a multiple of 64; see `attend_to`.
        """
        return tuple(
            attention.adaptive_span.needed_span() if self.adapt_span else self.attn_span
            for attention in self.attentions.values()
        )

    def attend_to(self, spans: Sequence[int]) -> bool:
        """Lets each attention compute its nearest slots alone, from the next call on.

        Functions compiled before keep what they were compiled with: compile again where this says
        so. Memory and weights keep their shapes.

        Args:
            spans: one for each attention, such as `needed_spans()`.

        Returns:
            Whether a span changed.
        """
        attentions = self.attentions.values()
        changed = tuple(spans) != tuple(attention.attended_span for attention in attentions)
        for attention, span in zip(attentions, spans, strict=True):
            attention.attended_span = span
        return changed

    def learned_spans(self) -> dict[str, np.ndarray]:
        """For each attention the learned spans of its heads in tokens, ramp left out."""
        return {
            name: ops.convert_to_numpy(attention.adaptive_span.reach) * self.attn_span
            for name, attention in self.attentions.items()
            if attention.adaptive_span is not None
        }

    def select_experts(self, num_selected_experts: int) -> bool:
        """Lets tokens choose another number of experts from the next call on.

        Returns:
            Whether it changed, and functions compiled before should be compiled again.
        """
        if self.routing is None or self.routing.num_selected_experts == num_selected_experts:
            return False
        self.routing = dataclasses.replace(self.routing, num_selected_experts=num_selected_experts)
        for layer in self.sublayers:
            if isinstance(layer.inner, MixtureOfExperts):
                layer.inner.select_experts(num_selected_experts)
        return True

    def get_config(self):
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "architecture": self.architecture,
            "d_model": self.d_model,
            "d_ff": self.d_ff,
            "num_heads": self.num_heads,
            "attn_span": self.attn_span,
            "expert_d_ff": self.expert_d_ff,
            "dropout_rate": self.dropout_rate,
            "routing": None if self.routing is None else self.routing.to_dict(),
            "share_block_weights": self.share_block_weights,
            "attend_to_self": self.attend_to_self,
            "adapt_span": self.adapt_span,
            "adapt_span_ramp": self.adapt_span_ramp,
            "adapt_span_init": self.adapt_span_init,
            "adapt_span_loss": self.adapt_span_loss,
            "norm": self.norm,
            "activation": self.activation,
            "initializer": self.initializer,
        }
