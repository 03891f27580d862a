"""The encoder: embeddings, then the sublayers that an architecture string lists."""

import keras
import keras_hub

from sparse_mixer_tf.architecture import parse
from sparse_mixer_tf.layers import (
    CirculantMixing,
    FourierMixing,
    HartleyMixing,
    LinearMixing,
    Pooler,
    RoutingSettings,
    SelfAttention,
    Sublayer,
    ToeplitzMixing,
    TokenEmbedding,
)
from sparse_mixer_tf.layers.initializers import LAYER_NORM_EPSILON, layer_norm
from sparse_mixer_tf.models.sublayer_stack import (
    check_routing,
    feed_forward_sublayer,
    stack_sublayers,
)

MIXING = {
    "l": LinearMixing,
    "r": FourierMixing,
    "h": HartleyMixing,
    "c": CirculantMixing,
    "t": ToeplitzMixing,
}


@keras.saving.register_keras_serializable(package="sparse_mixer_tf")
class SparseMixerBackbone(keras_hub.models.Backbone):
    """A bidirectional encoder of residual sublayers, one letter each.

    `s` self-attention, `f` dense feed-forward, `g` mixture-of-experts feed-forward, and mixing of
    all tokens: `l` learned linear, `r` Fourier, `h` Hartley, `c` circulant, `t` Toeplitz. So BERT,
    FNet and the Sparse Mixer are the strings `12*(sf)`, `12*(rf)` and `5*(lf)4*(lg)lf4*(sf)`.

    Inputs are a dict of `token_ids` int32, `segment_ids` int32 and `padding_mask` bool (true on
    real tokens), all `[batch, seq]`. Outputs are `sequence_output [batch, seq, d_model]` and
    `pooled_output [batch, d_model]`. With learned mixing (`l c t`) sequences have exactly
    `max_sequence_length` tokens, without it any number up to that.

    Args:
        vocabulary_size: number of token ids.
        architecture: the sublayers in order; `N*(…)` repeats, `.` separates blocks.
        d_model: width of the residual stream.
        d_ff: hidden width of the dense feed-forwards.
        d_emb: width of the embeddings; `d_model` where None.
        num_heads: attention heads.
        max_sequence_length: number of positions.
        num_segments: number of segment ids.
        dropout_rate: dropout on embeddings and dense feed-forwards.
        attention_dropout_rate: dropout on attention probabilities.
        expert_d_ff: hidden width of each expert; `d_ff` where None.
        expert_dropout_rate: dropout on the outputs of experts.
        routing: a `RoutingSettings` or a dict of its fields; needed where the string has a `g`.
        mixing_implementation: `"auto"`, `"fft"` or `"matmul"`, how `r h c t` are computed.
        mask_padding_in_mixing: zero padding before it is mixed into the real tokens.
        mask_padded_queries: padding attends evenly to everything, as in the published models.
        share_block_weights: letters repeated inside one `.`-block are one sublayer.
        norm: `post`: LayerNorm after each residual sum; `pre`: on the input of each sublayer, and
            once at the end.
        activation: of the feed-forwards, `gelu` (tanh approximation), `gelu_exact`, `relu` or
            `gated_gelu`; experts have no gate of their own.
        embedding_projection: a dense layer between embeddings and sublayers, as in FNet and the
            Sparse Mixer; BERT has none.
        layer_norm_epsilon: what every LayerNorm adds to the variance.
        dtype: a dtype or a `keras.DTypePolicy`.

    Raises:
        ValueError: for a string that does not parse, or a `g` without `routing`.

    Examples:
    ```python
    backbone = SparseMixerBackbone(
        vocabulary_size=32_000,
        architecture="2*(lf)2*(lg)2*(sf)",
        d_model=256,
        d_ff=1024,
        max_sequence_length=128,
        routing={"num_experts": 8},
    )
    backbone({
        "token_ids": np.ones((2, 128), "int32"),
        "segment_ids": np.zeros((2, 128), "int32"),
        "padding_mask": np.ones((2, 128), "bool"),
    })
    ```

    References:
        [Sparse Mixers](https://arxiv.org/abs/2205.12399), [FNet](https://arxiv.org/abs/2105.03824)
    """

    def __init__(
        self,
        vocabulary_size: int,
        architecture: str,
        d_model: int,
        d_ff: int,
        d_emb: int | None = None,
        num_heads: int = 8,
        max_sequence_length: int = 512,
        num_segments: int = 4,
        dropout_rate: float = 0.1,
        attention_dropout_rate: float = 0.1,
        expert_d_ff: int | None = None,
        expert_dropout_rate: float = 0.1,
        routing: RoutingSettings | dict | None = None,
        mixing_implementation: str = "auto",
        mask_padding_in_mixing: bool = False,
        mask_padded_queries: bool = False,
        share_block_weights: bool = False,
        norm: str = "post",
        activation: str = "gelu",
        embedding_projection: bool = True,
        layer_norm_epsilon: float = LAYER_NORM_EPSILON,
        dtype=None,
        **kwargs,
    ):
        layout = parse(architecture)
        routing = check_routing(architecture, layout, routing)

        def inner(letter: str) -> keras.layers.Layer:
            feed_forward = feed_forward_sublayer(
                letter,
                d_ff=d_ff,
                expert_d_ff=expert_d_ff or d_ff,
                routing=routing,
                dropout_rate=dropout_rate,
                expert_dropout_rate=expert_dropout_rate,
                activation=activation,
                dtype=dtype,
            )
            if feed_forward is not None:
                return feed_forward
            if letter == "s":
                return SelfAttention(
                    num_heads,
                    attention_dropout_rate,
                    mask_padded_queries=mask_padded_queries,
                    dtype=dtype,
                    name="attention",
                )
            implementation = {} if letter == "l" else {"implementation": mixing_implementation}
            return MIXING[letter](
                mask_padding=mask_padding_in_mixing, dtype=dtype, name="mixing", **implementation
            )

        def sublayer(letter: str, name: str) -> Sublayer:
            layer = Sublayer(inner(letter), norm, layer_norm_epsilon, dtype=dtype, name=name)
            # Learned mixing is built for one length, which the inputs leave open.
            layer.build((None, max_sequence_length, d_model))
            return layer

        # === Layers ===
        self.token_embedding = TokenEmbedding(
            vocabulary_size,
            d_model,
            max_sequence_length,
            d_emb=d_emb,
            num_segments=num_segments,
            dropout_rate=dropout_rate,
            projection=embedding_projection,
            layer_norm_epsilon=layer_norm_epsilon,
            dtype=dtype,
            name="embedding",
        )
        blocks = stack_sublayers(layout, sublayer, share_block_weights)
        self.sublayers = [layer for block in blocks for layer in block]
        self.final_norm = None
        if norm == "pre":
            self.final_norm = layer_norm("final_norm", dtype, layer_norm_epsilon)
        self.pooler = Pooler(dtype=dtype, name="pooler")

        # === Functional Model ===
        token_ids = keras.Input((None,), dtype="int32", name="token_ids")
        segment_ids = keras.Input((None,), dtype="int32", name="segment_ids")
        padding_mask = keras.Input((None,), dtype="bool", name="padding_mask")
        x = self.token_embedding(token_ids, segment_ids)
        for layer in self.sublayers:
            x = layer(x, padding_mask=padding_mask)
        if self.final_norm is not None:
            x = self.final_norm(x)
        super().__init__(
            inputs={
                "token_ids": token_ids,
                "segment_ids": segment_ids,
                "padding_mask": padding_mask,
            },
            outputs={"sequence_output": x, "pooled_output": self.pooler(x)},
            dtype=dtype,
            **kwargs,
        )

        # === Config ===
        self.vocabulary_size = vocabulary_size
        self.architecture = architecture
        self.d_model = d_model
        self.d_ff = d_ff
        self.d_emb = d_emb or d_model
        self.num_heads = num_heads
        self.max_sequence_length = max_sequence_length
        self.num_segments = num_segments
        self.dropout_rate = dropout_rate
        self.attention_dropout_rate = attention_dropout_rate
        self.expert_d_ff = expert_d_ff or d_ff
        self.expert_dropout_rate = expert_dropout_rate
        self.routing = routing
        self.mixing_implementation = mixing_implementation
        self.mask_padding_in_mixing = mask_padding_in_mixing
        self.mask_padded_queries = mask_padded_queries
        self.share_block_weights = share_block_weights
        self.norm = norm
        self.activation = activation
        self.embedding_projection = embedding_projection
        self.layer_norm_epsilon = layer_norm_epsilon

    def get_config(self):
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "architecture": self.architecture,
            "d_model": self.d_model,
            "d_ff": self.d_ff,
            "d_emb": self.d_emb,
            "num_heads": self.num_heads,
            "max_sequence_length": self.max_sequence_length,
            "num_segments": self.num_segments,
            "dropout_rate": self.dropout_rate,
            "attention_dropout_rate": self.attention_dropout_rate,
            "expert_d_ff": self.expert_d_ff,
            "expert_dropout_rate": self.expert_dropout_rate,
            "routing": None if self.routing is None else self.routing.to_dict(),
            "mixing_implementation": self.mixing_implementation,
            "mask_padding_in_mixing": self.mask_padding_in_mixing,
            "mask_padded_queries": self.mask_padded_queries,
            "share_block_weights": self.share_block_weights,
            "norm": self.norm,
            "activation": self.activation,
            "embedding_projection": self.embedding_projection,
            "layer_norm_epsilon": self.layer_norm_epsilon,
        }
