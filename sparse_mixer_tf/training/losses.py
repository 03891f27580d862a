"""Sums over predictions. Divided by a global count they are losses and accuracies, so that any way
of cutting a batch over devices or micro-batches adds up to the same number."""

from typing import NamedTuple

from keras import ops


class Sums(NamedTuple):
    """Weighted sums over predictions, float32 scalars.

    Attributes:
        loss: cross-entropy, in nats.
        correct: predictions whose greatest logit is the label.
        count: the weights themselves.
    """

    loss: object
    correct: object
    count: object


def cross_entropy_sums(logits, labels, weights) -> Sums:
    """Weighted cross-entropy and accuracy over the last axis of the logits.

    Args:
        logits: float [..., classes]; computed with in float32.
        labels: int32 [...]; one below 0 is none, as in test splits, and left out.
        weights: float [...]; 0 leaves a prediction out.
    """
    logits = ops.cast(logits, "float32")
    labels = ops.cast(labels, "int32")
    weights = ops.cast(weights, "float32") * ops.cast(labels >= 0, "float32")
    labels = ops.maximum(labels, 0)
    nats = ops.sparse_categorical_crossentropy(labels, logits, from_logits=True)
    hits = ops.cast(ops.cast(ops.argmax(logits, axis=-1), "int32") == labels, "float32")
    return Sums(ops.sum(nats * weights), ops.sum(hits * weights), ops.sum(weights))


def squared_error_sums(outputs, labels, weights) -> Sums:
    """Weighted squared errors of a regression; nothing of it is ever `correct`.

    Args:
        outputs: float [...]; computed with in float32.
        labels: float [...].
        weights: float [...]; 0 leaves a prediction out.
    """
    weights = ops.cast(weights, "float32")
    errors = ops.cast(outputs, "float32") - ops.cast(labels, "float32")
    return Sums(ops.sum(ops.square(errors) * weights), ops.zeros(()), ops.sum(weights))
