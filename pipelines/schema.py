"""The contract of a batch: names, shapes, dtypes."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from pipelines.settings import DataSettings


class ArraySpec(NamedTuple):
    shape: tuple[int, ...]
    dtype: np.dtype


def pretraining_batch(settings: DataSettings, batch_size: int) -> dict[str, ArraySpec]:
    """Return the arrays of a pre-training batch, with seq = max_seq_length.

    * token_ids: int32 [batch, seq]; ids with masks applied, padded with the pad id.
    * segment_ids: int32 [batch, seq]; 0 from [CLS] to the first [SEP] and on padding, 1 behind.
    * padding_mask: bool [batch, seq]; True on tokens.
    * mask_positions: int32 [batch, predictions]; ascending; 0 in unused slots.
    * mask_ids: int32 [batch, predictions]; the ids to predict; 0 in unused slots.
    * mask_weights: float32 [batch, predictions]; 1, and 0 in unused slots.
    * order_labels: int32 [batch]; 1 if the parts are in order (or B follows A), else 0; absent
      without a pair objective.
    * example_weights: float32 [batch]; 1, and 0 on the rows that fill up a last batch.
    """
    sequence = (batch_size, settings.max_seq_length)
    predictions = (batch_size, settings.num_predictions)
    schema = {
        "token_ids": ArraySpec(sequence, np.dtype("int32")),
        "segment_ids": ArraySpec(sequence, np.dtype("int32")),
        "padding_mask": ArraySpec(sequence, np.dtype("bool")),
        "mask_positions": ArraySpec(predictions, np.dtype("int32")),
        "mask_ids": ArraySpec(predictions, np.dtype("int32")),
        "mask_weights": ArraySpec(predictions, np.dtype("float32")),
        "order_labels": ArraySpec((batch_size,), np.dtype("int32")),
        "example_weights": ArraySpec((batch_size,), np.dtype("float32")),
    }
    if settings.pair_objective == "none":
        del schema["order_labels"]
    return schema


def classification_batch(
    max_seq_length: int, batch_size: int, is_regression: bool
) -> dict[str, ArraySpec]:
    """Return the arrays of a batch of labelled examples, with seq = max_seq_length.

    * token_ids: int32 [batch, seq]; [CLS] segment [SEP] segment [SEP] …, padded with the pad id.
    * segment_ids: int32 [batch, seq]; number of the segment, its [SEP] included; 0 for [CLS] and
      padding.
    * padding_mask: bool [batch, seq]; True on tokens.
    * labels: int32 [batch], or float32 for a regression; -1 where it is not known.
    * example_index: int32 [batch]; position of the example in its split.
    * example_weights: float32 [batch]; 1, and 0 on the rows that fill up a last batch.
    """
    sequence = (batch_size, max_seq_length)
    return {
        "token_ids": ArraySpec(sequence, np.dtype("int32")),
        "segment_ids": ArraySpec(sequence, np.dtype("int32")),
        "padding_mask": ArraySpec(sequence, np.dtype("bool")),
        "labels": ArraySpec((batch_size,), np.dtype("float32" if is_regression else "int32")),
        "example_index": ArraySpec((batch_size,), np.dtype("int32")),
        "example_weights": ArraySpec((batch_size,), np.dtype("float32")),
    }


def causal_batch(
    settings: DataSettings, batch_size: int, evaluation: bool = False
) -> dict[str, ArraySpec]:
    """Return the arrays of a batch of a causal language model, with block = block_size.

    * token_ids: int32 [batch, block]; a row goes on where it stopped in the batch before.
    * targets: int32 [batch, block]; the token behind each.
    * starts_anew: bool [batch]; True where a row does not go on, so its memory must be emptied.
    * target_weights: float32 [batch, block]; 1 on the targets that count, else 0; in an evaluation
      only.
    """
    block = (batch_size, settings.block_size)
    schema = {
        "token_ids": ArraySpec(block, np.dtype("int32")),
        "targets": ArraySpec(block, np.dtype("int32")),
        "starts_anew": ArraySpec((batch_size,), np.dtype("bool")),
    }
    if evaluation:
        schema["target_weights"] = ArraySpec(block, np.dtype("float32"))
    return schema


def check(batch: Mapping[str, Any], schema: Mapping[str, ArraySpec]) -> None:
    """Checks a batch of arrays or tensors.

    Raises:
        ValueError: a name is missing or too much, or a shape or dtype is another.
    """
    missing, extra = sorted(set(schema) - set(batch)), sorted(set(batch) - set(schema))
    if missing or extra:
        raise ValueError(
            f"the batch lacks {missing} and has {extra} too much; it must have {sorted(schema)}"
        )
    for name, spec in schema.items():
        value = batch[name]
        dtype = np.dtype(getattr(value.dtype, "as_numpy_dtype", value.dtype))
        if tuple(value.shape) != spec.shape or dtype != spec.dtype:
            raise ValueError(
                f"{name} of the batch is {dtype} {list(value.shape)}, expected {spec.dtype} "
                f"{list(spec.shape)}"
            )
