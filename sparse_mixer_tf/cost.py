"""What a sublayer costs: parameters, floating-point operations, memory.

All of it follows from its letter and the sizes beside it, so it is known before anything is built.
"""

import math
from dataclasses import dataclass

from sparse_mixer_tf.architecture import SUBLAYERS
from sparse_mixer_tf.settings import ModelSettings

# Two-dimensional FFTs of an [n, d] array, in multiples of one: circulant mixing transforms there
# and back, Toeplitz mixing does so on arrays doubled along both axes.
FFTS = {"r": 1, "h": 1, "c": 2, "t": 8}


@dataclass(frozen=True)
class Cost:
    """One row of the sublayer table.

    Attributes:
        weights: shapes of the weight matrices, for reading.
        parameters: all of them, the LayerNorm of the sublayer included.
        active_parameters: those that work on one token, on average.
        flops: operations a token in the forward pass; a multiply-add is two.
        activations: numbers a token that the backward pass needs, an estimate.
    """

    name: str
    kind: str
    weights: str
    parameters: int
    active_parameters: int
    flops: float
    activations: float


def expert_capacity(settings: ModelSettings, tokens_per_group: int) -> int:
    """Tokens that each expert takes of a group in training."""
    exact = settings.capacity_factor * tokens_per_group / settings.num_experts
    capacity = max(settings.min_expert_capacity, round(exact))
    return min(capacity, tokens_per_group)


def num_groups(settings: ModelSettings, tokens: int) -> int:
    """Routing groups, so that none exceeds `max_group_size`."""
    return -(-tokens // settings.max_group_size)


def experts_per_token(settings: ModelSettings, tokens: int) -> float:
    """Expert slots computed for each token, empty ones included."""
    if settings.router == "dropless":
        return float(settings.num_selected_experts)
    groups = num_groups(settings, tokens)
    per_group = -(-tokens // groups)
    return expert_capacity(settings, per_group) * settings.num_experts * groups / tokens


def sublayer(letter: str, settings: ModelSettings, seq: int, tokens: int) -> Cost:
    """The cost of one sublayer at a sequence length, without its name."""
    d, norm = settings.d_model, 2 * settings.d_model
    if letter == "s":
        scores = settings.num_heads * seq
        return Cost(
            "", SUBLAYERS[letter], f"4 x [{d}, {d}]", *twice(4 * (d * d + d) + norm),
            8 * d * d + 4 * seq * d, 6 * d + 3 * scores,
        )  # fmt: skip
    if letter == "f":
        ff, gates = settings.d_ff, int(settings.activation == "gated_gelu")
        return Cost(
            "", SUBLAYERS[letter], f"{'2 x ' * gates}[{d}, {ff}] [{ff}, {d}]",
            *twice(2 * d * ff + ff + d + gates * (d * ff + ff) + norm),
            (4 + 2 * gates) * d * ff, (3 + 2 * gates) * ff + 3 * d,
        )  # fmt: skip
    if letter == "g":
        experts, ff = settings.num_experts, settings.expert_d_ff or settings.d_ff
        router = d * experts * (2 if settings.gate == "noisy_top_k" else 1) + experts
        expert = 2 * d * ff + ff + d
        slots = experts_per_token(settings, tokens)
        return Cost(
            "", SUBLAYERS[letter], f"{experts} x ([{d}, {ff}] [{ff}, {d}]), [{d}, {experts}]",
            experts * expert + router + norm, round(min(slots, experts) * expert) + router + norm,
            slots * 4 * d * ff + 2 * d * experts, slots * (3 * ff + 3 * d) + 4 * experts + 2 * d,
        )  # fmt: skip
    by_matmul = letter == "l" or settings.mixing_implementation == "matmul"
    weights, count = {
        "l": (f"[{seq}, {seq}] [{d}, {d}]", seq * seq + d * d),
        "c": (f"[{seq}] [{d}]", seq + d),
        "t": (f"[{2 * seq - 1}] [{2 * d - 1}]", 2 * (seq + d) - 2),
    }.get(letter, ("none", 0))
    if by_matmul:
        flops = (2 if letter in "rh" else 1) * (2 * seq * d + 2 * d * d)
    else:
        flops = FFTS[letter] * 2.5 * d * math.log2(seq * d)
    return Cost("", SUBLAYERS[letter], weights, *twice(count + norm), flops, 4 * d)


def causal_sublayer(letter: str, settings: ModelSettings, block: int, tokens: int) -> Cost:
    """The same in a language model, whose attention looks from a block back over a span.

    Learned spans are taken at their longest; they make it cheaper.
    """
    if letter != "s":
        return sublayer(letter, settings, block, tokens)
    d, span, heads = settings.d_model, settings.attn_span, settings.num_heads
    spans = heads if settings.adapt_span else 0
    # Keys and values are those of the block and of the span before it.
    seen = (block + span) / block
    return Cost(
        "", SUBLAYERS[letter], f"4 x [{d}, {d}]", *twice(4 * d * d + spans + 2 * d),
        4 * d * d * (1 + seen) + 4 * d * (block + span) + 2 * d * span,
        (2 + 2 * seen) * d + 3 * heads * (block + span),
    )  # fmt: skip


def twice(count: int) -> tuple[int, int]:
    """Parameters that all work on every token: how many there are, and how many are active."""
    return count, count
