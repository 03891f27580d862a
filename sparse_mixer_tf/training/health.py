"""Whether an update may be applied, decided inside the step so that nothing waits for it."""

from typing import NamedTuple

import keras
import tensorflow as tf

SPIKE_THRESHOLD = 6.0
# Steps that a mean is taken over, and that must have been seen before anything is a spike.
_WINDOW, _LEAST_STEPS = 100, 50
# In logarithms: a rise by less than exp(6 * 0.05) = 1.35 is never a spike, however even the run.
_LEAST_DEVIATION = 0.05


class Verdict(NamedTuple):
    """Bool scalars: every number is finite; loss or gradient norm stands out from recent steps."""

    finite: tf.Tensor
    spike: tf.Tensor


def judge(history, loss, gradient_norm, threshold: float = SPIKE_THRESHOLD) -> Verdict:
    """Compares a step with those before it.

    Args:
        history: float32 [5]; see `remember`.
        threshold: standard deviations that the logarithm of loss or norm must lie above its mean.
    """
    finite = tf.math.is_finite(loss) & tf.math.is_finite(gradient_norm)
    count, mean, variance = history[0], history[1:3], history[3:5]
    above = _logarithms(loss, gradient_norm) - mean
    allowed = threshold * tf.maximum(tf.sqrt(variance), _LEAST_DEVIATION)
    spike = (count >= _LEAST_STEPS) & tf.reduce_any(above > allowed)
    return Verdict(finite, finite & spike)


def remember(history, loss, gradient_norm) -> tf.Tensor:
    """The history with one more step in it.

    Returns:
        float32 [5]: steps seen, then running mean and variance of the logarithms of loss and
        gradient norm.
    """
    count, mean, variance = history[0], history[1:3], history[3:5]
    weight = tf.maximum(1.0 / (count + 1.0), 1.0 / _WINDOW)
    above = _logarithms(loss, gradient_norm) - mean
    variance = (1.0 - weight) * (variance + weight * tf.square(above))
    return tf.concat([[count + 1.0], mean + weight * above, variance], axis=0)


def new_history() -> keras.Variable:
    """The history of a run that has taken no step; made in the strategy's scope."""
    return keras.Variable(
        [0.0] * 5,
        dtype="float32",
        trainable=False,
        aggregation="only_first_replica",
        name="history",
    )


def _logarithms(loss, gradient_norm):
    return tf.math.log(tf.maximum(tf.stack([loss, gradient_norm]), 1e-20))
