"""The value of `--precision=auto`: the precision in which this device trains faster."""

import dataclasses
from collections.abc import Callable

from sparse_mixer_tf.autotune.timing import TOKENS, fastest, seconds_of
from sparse_mixer_tf.layers import FeedForward, Sublayer
from sparse_mixer_tf.settings import ModelSettings, TrainingSettings

FLOAT32, BFLOAT16 = "float32", "mixed_bfloat16"


def in_known_precision(
    training: TrainingSettings,
    model: ModelSettings,
    on_tpu: bool,
    total: Callable = float,
    say: Callable = print,
) -> TrainingSettings:
    """The settings, with what `auto` comes to; a TPU, whose products are of bfloat16, is not timed.

    Args:
        total, say: see `fastest_precision`.
    """
    if training.precision != "auto":
        return training
    precision = BFLOAT16 if on_tpu else fastest_precision(model, total, say)
    return dataclasses.replace(training, precision=precision)


def fastest_precision(model: ModelSettings, total: Callable = float, say: Callable = print) -> str:
    """`float32` or `mixed_bfloat16`, by the time of a feed-forward sublayer of the model's sizes.

    Args:
        model: its `d_model`, `d_ff`, `activation` and `norm` are those of the sublayer.
        total: adds up a number over all workers, so that all choose alike.
        say: is told the times.
    """
    precision, (plain, half) = fastest(
        (FLOAT32, BFLOAT16), lambda precision: measure(precision, model), total
    )
    say(
        f"--precision=auto: a feed-forward sublayer takes {plain:.3g} ms in float32, {half:.3g} in "
        f"bfloat16, so {precision}"
    )
    return precision


def measure(precision: str, model: ModelSettings) -> float:
    """Seconds of a forward and backward pass through one sublayer."""
    inner = FeedForward(model.d_ff, 0.0, model.activation, dtype=precision, name="feed_forward")
    sublayer = Sublayer(inner, model.norm, dtype=precision, name="sublayer")
    return seconds_of(sublayer, (1, TOKENS, model.d_model))
