"""What happens after a step whose update was not applied."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sparse_mixer_tf.settings import RunSettings


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
