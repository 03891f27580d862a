"""Cost of a sublayer: parameters, floating-point operations, memory.

All of it follows from its letter and the sizes beside it, so it is known before anything is built.

What a whole model costs, a row a sublayer; see `cost`.
"""

import math
from collections.abc import Callable
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


# Numbers that an optimizer keeps for each weight.
SLOTS = {"adamw": 2, "adam": 2, "adagrad": 1, "sgd": 1}


def pretraining_table(
    settings: ModelSettings,
    vocabulary_size: int,
    seq: int,
    predictions: int,
    tokens: int,
    order_head: bool = True,
) -> list[Cost]:
    """Embeddings, sublayers, pooler, and the heads of pre-training.

    Args:
        predictions: masked positions of a sequence.
        tokens: tokens routed together on one device, for the expert capacity.
    """
    d, emb, vocab = settings.d_model, settings.d_emb or settings.d_model, vocabulary_size
    words = d * emb + emb + 2 * emb + vocab
    order = 2 * d + 2 if order_head else 0
    share = predictions / seq
    return [
        *_encoder(settings, vocabulary_size, seq, tokens),
        Cost(
            "heads", "masked words" + (" and sentence order" if order_head else ""),
            f"[{d}, {emb}] [{emb}, {vocab}]", words + order, words + vocab * emb + order,
            share * (2 * d * emb + 2 * emb * vocab), share * 2 * vocab,
        ),
    ]  # fmt: skip


def classification_table(
    settings: ModelSettings, vocabulary_size: int, seq: int, num_classes: int, tokens: int
) -> list[Cost]:
    """Embeddings, sublayers, pooler, and a projection to the classes."""
    d, count = settings.d_model, settings.d_model * num_classes + num_classes
    head = Cost(
        "head", "classes" if num_classes > 1 else "value", f"[{d}, {num_classes}]", *twice(count),
        2 * d * num_classes / seq, num_classes / seq,
    )  # fmt: skip
    return [*_encoder(settings, vocabulary_size, seq, tokens), head]


def causal_lm_table(
    settings: ModelSettings, vocabulary_size: int, block: int, tokens: int
) -> list[Cost]:
    """Embeddings, sublayers, and a projection to the vocabulary."""
    d, vocab = settings.d_model, vocabulary_size
    rows = [Cost("embedding", "symbols", f"[{vocab}, {d}]", vocab * d, d, 0, d)]
    if "s" in settings.architecture:
        table = (settings.attn_span, d // settings.num_heads)
        rows.append(
            Cost("positions", "distances back", f"{list(table)}", *twice(table[0] * table[1]), 0, 0)
        )
    rows += _stack(settings, lambda letter: causal_sublayer(letter, settings, block, tokens))
    head = Cost(
        "head", "next symbol", f"[{d}, {vocab}]", *twice(d * vocab + vocab), 2 * d * vocab,
        2 * vocab,
    )  # fmt: skip
    return [*rows, head]


def training_bytes(
    rows: list[Cost], tokens: int, activation_bytes: int, optimizer: str = "adamw"
) -> dict[str, float]:
    """Estimated memory of a training step, in bytes, by what it is for."""
    parameters = sum(row.parameters for row in rows)
    return {
        "weights": 4.0 * parameters,
        "gradients": 4.0 * parameters,
        "optimizer": 4.0 * SLOTS[optimizer] * parameters,
        "activations": sum(row.activations for row in rows) * tokens * activation_bytes,
    }


def _encoder(settings: ModelSettings, vocabulary_size: int, seq: int, tokens: int) -> list[Cost]:
    d, emb, vocab = settings.d_model, settings.d_emb or settings.d_model, vocabulary_size
    tables = (vocab + seq + settings.num_segments) * emb
    weights, projection = f"[{vocab}, {emb}]", 0
    if settings.embedding_projection:
        weights, projection = f"{weights} [{emb}, {d}]", emb * d + d
    embedding = Cost(
        "embedding", "words, positions, segments", weights,
        tables + 2 * emb + projection, 3 * emb + 2 * emb + projection,
        2 * emb * d if projection else 0, 3 * emb + 2 * d,
    )  # fmt: skip
    pooler = Cost("pooler", "first token", f"[{d}, {d}]", *twice(d * d + d), 2 * d * d / seq, 0)
    return [
        embedding,
        *_stack(settings, lambda letter: sublayer(letter, settings, seq, tokens)),
        pooler,
    ]


def _stack(settings: ModelSettings, cost_of: Callable[[str], Cost]) -> list[Cost]:
    """A row a sublayer; weights that are shared count once."""
    rows = []
    for block in parse(settings.architecture).blocks:
        seen = set()
        for letter in block:
            cost = cost_of(letter)
            reused = settings.share_block_weights and letter in seen
            rows.append(
                Cost(
                    f"sublayer_{len(rows):02d}_{letter}",
                    cost.kind + (" (weights reused)" if reused else ""),
                    cost.weights,
                    0 if reused else cost.parameters,
                    cost.active_parameters,
                    cost.flops,
                    cost.activations,
                )
            )
            seen.add(letter)
    if settings.norm == "pre":
        d = settings.d_model
        rows.append(Cost("final_norm", "LayerNorm", f"2 x [{d}]", *twice(2 * d), 0, d))
    return rows
