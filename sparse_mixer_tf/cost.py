"""What an architecture string costs: parameters, floating-point operations, memory.

All of it follows from the string and the sizes beside it, so it is known before anything is built.
"""

import math
from dataclasses import dataclass

from sparse_mixer_tf.architecture import SUBLAYERS, parse
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
            "", SUBLAYERS[letter], f"4 x [{d}, {d}]", *_twice(4 * (d * d + d) + norm),
            8 * d * d + 4 * seq * d, 6 * d + 3 * scores,
        )  # fmt: skip
    if letter == "f":
        ff = settings.d_ff
        return Cost(
            "", SUBLAYERS[letter], f"[{d}, {ff}] [{ff}, {d}]", *_twice(2 * d * ff + ff + d + norm),
            4 * d * ff, 3 * ff + 3 * d,
        )  # fmt: skip
    if letter == "g":
        experts, ff = settings.num_experts, settings.expert_d_ff or settings.d_ff
        router, expert = d * experts + experts, 2 * d * ff + ff + d
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
    return Cost("", SUBLAYERS[letter], weights, *_twice(count + norm), flops, 4 * d)


def table(
    settings: ModelSettings, vocabulary_size: int, seq: int, predictions: int, tokens: int,
    order_head: bool = True,
) -> list[Cost]:  # fmt: skip
    """One row for the embeddings, one a sublayer, one for the pooler and one for the heads.

    Args:
        predictions: masked positions of a sequence.
        tokens: tokens routed together on one device, for the expert capacity.
    """
    d, emb, vocab = settings.d_model, settings.d_emb or settings.d_model, vocabulary_size
    tables = (vocab + seq + settings.num_segments) * emb
    weights, projection = f"[{vocab}, {emb}]", 0
    if settings.embedding_projection:
        weights, projection = f"{weights} [{emb}, {d}]", emb * d + d
    rows = [
        Cost(
            "embedding", "words, positions, segments", weights,
            tables + 2 * emb + projection, 3 * emb + 2 * emb + projection,
            2 * emb * d if projection else 0, 3 * emb + 2 * d,
        )
    ]  # fmt: skip
    architecture, position = parse(settings.architecture), 0
    for block in architecture.blocks:
        seen = set()
        for letter in block:
            cost = sublayer(letter, settings, seq, tokens)
            reused = settings.share_block_weights and letter in seen
            parameters = 0 if reused else cost.parameters
            name = f"sublayer_{position:02d}_{letter}"
            kind = cost.kind + (" (weights reused)" if reused else "")
            rows.append(
                Cost(name, kind, cost.weights, parameters, cost.active_parameters, cost.flops,
                     cost.activations)
            )  # fmt: skip
            seen.add(letter)
            position += 1
    rows.append(
        Cost("pooler", "first token", f"[{d}, {d}]", *_twice(d * d + d), 2 * d * d / seq, 0)
    )
    words = d * emb + emb + 2 * emb + vocab
    order = 2 * d + 2 if order_head else 0
    share = predictions / seq
    rows.append(
        Cost(
            "heads", "masked words" + (" and sentence order" if order_head else ""),
            f"[{d}, {emb}] [{emb}, {vocab}]", words + order, words + vocab * emb + order,
            share * (2 * d * emb + 2 * emb * vocab), share * 2 * vocab,
        )
    )  # fmt: skip
    return rows


def training_bytes(rows: list[Cost], tokens: int, activation_bytes: int) -> dict[str, float]:
    """Estimated memory of a training step, in bytes, by what it is for."""
    parameters = sum(row.parameters for row in rows)
    return {
        "weights": 4.0 * parameters,
        "gradients": 4.0 * parameters,
        "AdamW moments": 8.0 * parameters,
        "activations": sum(row.activations for row in rows) * tokens * activation_bytes,
    }


def _twice(count: int) -> tuple[int, int]:
    return count, count
