"""Fills of the masks of a text by a masked language model."""

import numpy as np

from pipelines.tokenizers.sentencepiece_model import WORD_BEGINS, Vocabulary, readable
from sparse_mixer_tf.tasks.model_factory import model_inputs

MASK = "[MASK]"


def fill(model, batch: dict, vocabulary: Vocabulary, top: int = 3) -> list[dict]:
    """The likeliest pieces at each masked position.

    Args:
        model: gives `mlm_logits` [batch, predictions, vocab].
        batch: numpy arrays of the batch contract; `mask_ids` are the truths.

    Returns:
        For each row `{"text", "predictions": [{"truth", "top": [[piece, probability], …]}, …]}`,
        the text being the row with its masks in place.
    """
    logits = np.asarray(model(model_inputs(model, batch), training=False)["mlm_logits"], "float32")
    logits = logits - logits.max(-1, keepdims=True)
    probabilities = np.exp(logits)
    probabilities /= probabilities.sum(-1, keepdims=True)
    rows = []
    for row in range(len(logits)):
        length = int(np.sum(batch["padding_mask"][row]))
        rows.append(
            {
                "text": show(batch["token_ids"][row][:length], vocabulary),
                "predictions": [
                    {
                        "truth": vocabulary.piece(int(batch["mask_ids"][row, slot])),
                        "top": [
                            [vocabulary.piece(int(i)), round(float(probabilities[row, slot, i]), 4)]
                            for i in np.argsort(-probabilities[row, slot])[:top]
                        ],
                    }
                    for slot in np.flatnonzero(batch["mask_weights"][row])
                ],
            }
        )
    return rows


def encode(texts: list[str], vocabulary: Vocabulary, seq: int, predictions: int) -> dict:
    """Texts with [MASK] in them, as one batch: `[CLS] text [SEP]`, cut to the sequence length.

    Args:
        seq: length of every row.
        predictions: masks looked at in a row; later ones get no answer.
    """
    parts = [text.split(MASK) for text in texts]
    encoded = iter(vocabulary.encode_batch([part for row in parts for part in row]))
    batch = {
        "token_ids": np.full((len(texts), seq), vocabulary.pad_id, np.int32),
        "segment_ids": np.zeros((len(texts), seq), np.int32),
        "padding_mask": np.zeros((len(texts), seq), bool),
        "mask_positions": np.zeros((len(texts), predictions), np.int32),
        "mask_ids": np.zeros((len(texts), predictions), np.int32),
        "mask_weights": np.zeros((len(texts), predictions), np.float32),
    }
    for row, pieces in enumerate(parts):
        ids = [vocabulary.cls_id, *next(encoded)]
        for _ in pieces[1:]:
            ids += [vocabulary.mask_id, *next(encoded)]
        ids = [*ids[: seq - 1], vocabulary.sep_id]
        masks = [i for i, token in enumerate(ids) if token == vocabulary.mask_id][:predictions]
        batch["token_ids"][row, : len(ids)] = ids
        batch["padding_mask"][row, : len(ids)] = True
        batch["mask_positions"][row, : len(masks)] = masks
        batch["mask_weights"][row, : len(masks)] = 1
    return batch


def show(token_ids, vocabulary: Vocabulary) -> str:
    """Text with its special pieces spelled out, word breaks as spaces."""
    pieces = [vocabulary.piece(int(i)) for i in token_ids]
    spaced = (f" {p} " if p.startswith("[") and p.endswith("]") else p for p in pieces)
    return " ".join("".join(spaced).replace(WORD_BEGINS, " ").split())


def sample_lines(samples: list[dict], masks: int | None = 3) -> list[str]:
    """Fills as console lines: the text, then truth, if known, and guesses for its first masks."""
    lines = []
    for sample in samples:
        lines.append(f"  {sample['text']}")
        for prediction in sample["predictions"][:masks]:
            truth = f"{readable(prediction['truth'])} <- " if "truth" in prediction else ""
            lines.append(f"    {truth}{guesses(prediction['top'])}")
    return lines


def guesses(top: list) -> str:
    """Pieces and their probabilities, apart by dots, since many pieces are commas.

    >>> guesses([["▁the", 0.31], [",", 0.004]])
    'the 31% · , 0.4%'
    """
    return " · ".join(
        f"{readable(piece)} {share:.0%}" if share >= 0.01 else f"{readable(piece)} {share:.1%}"
        for piece, share in top
    )
