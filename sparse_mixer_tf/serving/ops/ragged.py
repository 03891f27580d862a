"""Two things that ragged tensors lack."""

import tensorflow as tf


def lengths(ragged: tf.RaggedTensor) -> tf.Tensor:
    """The length of each row, int32 [batch]."""
    return tf.cast(ragged.row_lengths(), tf.int32)


def first(ragged: tf.RaggedTensor, count: tf.Tensor) -> tf.RaggedTensor:
    """The first values of each row.

    Args:
        ragged: [batch, None].
        count: int32 [batch].
    """
    place = tf.ragged.range(ragged.row_lengths(), row_splits_dtype=ragged.row_splits.dtype)
    keep = place < tf.cast(count, place.dtype)[:, None]
    return tf.ragged.boolean_mask(ragged, keep)
