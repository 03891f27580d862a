"""The sizes and the routing of a model."""

from dataclasses import dataclass

from sparse_mixer_tf.settings.fields import Checked, SettingsError, setting


@dataclass(frozen=True)
class ModelSettings(Checked):
    """The sizes beside the architecture string; defaults are those of Sparse Mixer Base."""

    architecture: str = setting(
        "5*(lf)4*(lg)lf4*(sf)",
        "Sublayers in order, one letter each: s f g l r h c t, N*(…) repeats.",
    )
    share_block_weights: bool = setting(
        False, "Letters repeated inside one '.'-block reuse one set of weights."
    )
    d_emb: int | None = setting(None, "Width of the embeddings; d_model if not given.", least=1)
    d_model: int = setting(512, "Width of the residual stream.", least=1)
    d_ff: int = setting(2048, "Hidden width of the dense feed-forwards.", least=1)
    num_heads: int = setting(8, "Attention heads.", least=1)
    dropout_rate: float = setting(
        0.1, "Dropout on embeddings and dense feed-forwards.", least=0, most=0.99
    )
    attention_dropout_rate: float = setting(
        0.1, "Dropout on attention probabilities.", least=0, most=0.99
    )
    mixing_implementation: str = setting(
        "auto", "How r h c t are computed.", ("auto", "fft", "matmul")
    )
    mask_padding_in_mixing: bool = setting(
        False, "Zero padding before mixing; the original mixes it in."
    )
    mask_padded_queries: bool = setting(
        False, "Attention: padding attends to everything evenly, as in the original."
    )
    num_experts: int = setting(16, "Experts of each g sublayer.", least=0)
    expert_d_ff: int | None = setting(
        None, "Hidden width of each expert; d_ff if not given.", least=1
    )
    expert_dropout_rate: float = setting(0.1, "Dropout on expert outputs.", least=0, most=0.99)
    router: str = setting(
        "experts_choose",
        "Experts choose tokens, tokens choose experts, or the latter without a capacity.",
        ("experts_choose", "tokens_choose", "dropless"),
    )
    num_selected_experts: int = setting(1, "Experts a token chooses.", least=1)
    capacity_factor: float = setting(
        1.0, "Expert capacity in training, as a multiple of tokens / experts.", least=1e-6
    )
    eval_capacity_factor: float | None = setting(
        None, "The same in evaluation; capacity_factor if not given.", least=1e-6
    )
    min_expert_capacity: int = setting(4, "No expert has a lower capacity.", least=1)
    batch_prioritized_routing: bool = setting(
        True, "Route the most confident tokens of a group first."
    )
    max_group_size: int = setting(4096, "Most tokens routed together.", least=1)
    jitter_noise: float = setting(
        0.0, "Router inputs are multiplied by U(1-x, 1+x) in training.", least=0, most=0.99
    )
    balance_loss_factor: float = setting(0.01, "Weight of the load-balance loss.", least=0)
    router_z_loss_factor: float = setting(1e-4, "Weight of the router z-loss.", least=0)
    route_padding: bool = setting(
        False, "Route padding tokens too, as the original does; wastes capacity."
    )
    dispatch: str = setting(
        "gather",
        "How tokens reach their experts: index gathers or one-hot products.",
        ("gather", "einsum"),
    )
    gate: str = setting(
        "softmax",
        "What the chosen experts are weighed with, where tokens choose: their share in a softmax "
        "over all experts, a softmax over those chosen, or another gate by name.",
        ("softmax", "top_k", "noisy_top_k", "switch", "gshard", "frozen_random"),
    )
    first_selected_experts: int | None = setting(
        None,
        "Experts a token chooses at the start; grows to --num_selected_experts over the run.",
        least=1,
    )
    norm: str = setting(
        "post", "LayerNorm behind each residual sum, or before each sublayer.", ("post", "pre")
    )
    activation: str = setting(
        "gelu", "Of the feed-forwards' hidden layers.", ("gelu", "gelu_exact", "relu", "gated_gelu")
    )
    num_segments: int = setting(4, "Encoder: rows of the segment table.", least=1)
    embedding_projection: bool = setting(True, "Encoder: a dense layer behind the embeddings.")
    layer_norm_epsilon: float = setting(1e-12, "Encoder: added to LayerNorm's variances.", least=0)
    initializer: str = setting(
        "normal",
        "Initial weights: normal of standard deviation 0.02, or those of PyTorch's layers.",
        ("normal", "torch"),
    )
    attn_span: int = setting(512, "Language model: tokens back that attention sees.", least=1)
    attend_to_self: bool = setting(
        False, "Language model: a token sees itself too; the original's does not."
    )
    adapt_span: bool = setting(
        False, "Language model: each head learns how much of the span it sees."
    )
    adapt_span_loss: float = setting(
        0.0, "Language model: weight of the learned spans, in tokens, in the loss.", least=0
    )
    adapt_span_ramp: int = setting(
        32, "Language model: tokens over which a learned span ends.", least=1
    )
    adapt_span_init: float = setting(
        0.0,
        "Language model: learned span at the start, as a share of --attn_span.",
        least=0,
        most=1,
    )

    def __post_init__(self):
        super().__post_init__()
        if "s" in self.architecture and self.d_model % self.num_heads:
            fits = [h for h in range(1, self.d_model + 1) if self.d_model % h == 0]
            nearest = min(fits, key=lambda heads: abs(heads - self.num_heads))
            raise SettingsError(
                f"--num_heads={self.num_heads} does not divide --d_model={self.d_model}; "
                f"use {nearest}"
            )
        if not self.embedding_projection and self.d_emb not in (None, self.d_model):
            widths = f"--d_emb={self.d_emb} beside --d_model={self.d_model}"
            raise SettingsError(f"{widths} needs a projection; drop --embedding_projection=false")
        if "g" in self.architecture and self.num_experts == 0:
            raise SettingsError("--num_experts=0 does not fit an architecture with g; use 16")
        if "g" in self.architecture and self.num_selected_experts > self.num_experts:
            raise SettingsError(
                f"--num_selected_experts={self.num_selected_experts} is more than "
                f"--num_experts={self.num_experts}; use {self.num_experts} or fewer"
            )
