"""Guards of an update, decided inside the step so that nothing waits for them.

What happens after a step whose update was not applied.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from sparse_mixer_tf.settings import RunSettings

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


class TrainingStopped(ArithmeticError):
    """Updates could not be applied, and the settings say to stop."""


@dataclass
class Watch:
    """Looks at the metrics of every step, in order, some steps later.

    Attributes:
        settings: what to do, and how often.
        names: of the trainable variables, in the order of `gradient_squares`.
        say: told about every step that was not applied.
        rollbacks: so far in this run.
        in_a_row: latest steps that were not applied.
    """

    settings: RunSettings
    names: list[str]
    say: Callable[[str], None] = print
    rollbacks: int = 0
    in_a_row: int = 0

    def examine(self, first_step: int, rows: list[dict], can_roll_back: bool) -> int | None:
        """Decides about consecutive steps.

        Args:
            first_step: the step of `rows[0]`, counted from 1.
            rows: metrics of each step as numpy values.
            can_roll_back: whether there is a checkpoint.

        Returns:
            The step that calls for a rollback, or None.

        Raises:
            TrainingStopped: naming the step and the sublayers.
        """
        for step, row in enumerate(rows, first_step):
            if row["applied"]:
                self.in_a_row = 0
                continue
            what = self.describe(step, row)
            if row["spike"] and self.settings.on_spike == "rollback" and can_roll_back:
                self.say(what)
                self._count_rollback(what)
                return step
            if not row["spike"] and self.settings.on_nonfinite == "stop":
                raise TrainingStopped(
                    f"{what}; nothing was saved since the last checkpoint. A lower "
                    "--learning_rate, more --warmup_steps or --max_gradient_norm=1 in a new run "
                    "helps; --on_nonfinite=skip goes on without such updates"
                )
            self.in_a_row += 1
            self.say(f"{what}: not applied")
            if self.in_a_row > self.settings.max_skips_in_a_row:
                raise TrainingStopped(
                    f"{what}: {self.in_a_row} updates in a row could not be applied, "
                    f"--max_skips_in_a_row={self.settings.max_skips_in_a_row} allows no more"
                )
        return None

    def describe(self, step: int, row: dict) -> str:
        """One line about a step that was not applied."""
        loss, norm = float(row["loss"]), float(row["gradient_norm"])
        text = f"step {step:,}: loss {loss:.4g}, gradient norm {norm:.4g}"
        if row["spike"]:
            return f"{text}, far above the steps before"
        found = ~np.isfinite(row["gradient_squares"])
        if not found.any():
            return f"{text}, every gradient finite"
        if found.all():
            return f"{text}, no gradient finite"
        places = dict.fromkeys(
            name.rsplit("/", 1)[0] for name, bad in zip(self.names, found, strict=True) if bad
        )
        listed = ", ".join(list(places)[:4]) + (", …" if len(places) > 4 else "")
        return f"{text}, gradients not finite in {listed} ({found.sum()} of {len(found)} variables)"

    def _count_rollback(self, what: str) -> None:
        self.rollbacks += 1
        if self.rollbacks > self.settings.max_rollbacks:
            raise TrainingStopped(
                f"{what}: --max_rollbacks={self.settings.max_rollbacks} allows no further rollback"
            )
