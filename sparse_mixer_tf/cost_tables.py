"""What a whole model costs, a row a sublayer; see `cost`."""

from collections.abc import Callable

from sparse_mixer_tf.architecture import parse
from sparse_mixer_tf.cost import Cost, causal_sublayer, sublayer, twice
from sparse_mixer_tf.settings import ModelSettings

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
