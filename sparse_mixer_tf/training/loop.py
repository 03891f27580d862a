"""The training loop: steps, progress lines, evaluations, checkpoints, and a clean end."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sparse_mixer_tf.settings import RunSettings
from sparse_mixer_tf.training.checkpoint import Checkpoints
from sparse_mixer_tf.training.guard import Interruption, check_finite
from sparse_mixer_tf.training.progress import Stopwatch, evaluation_line, progress_line
from sparse_mixer_tf.training.writers import MetricsWriter


@dataclass(frozen=True)
class Loop:
    """One run from its current step to its last.

    Attributes:
        batches: endless, beginning at the batch of `start_step`.
        train_step: `(batch, step) -> metrics`.
        evaluate: `step -> (metrics, samples)` on held-out data.
        tokens_per_step: of the global batch, padding counted.
        facts: goes into every checkpoint's manifest.
        better: the evaluation metric that decides which checkpoint is best, lowest first.
        patience: evaluations without a new best after which the run is complete; None for never.
    """

    workdir: Path
    settings: RunSettings
    start_step: int
    train_steps: int
    batches: Iterable
    train_step: Callable
    evaluate: Callable
    checkpoints: Checkpoints
    tokens_per_step: int
    facts: dict
    better: str = "loss"
    patience: int | None = None
    say: Callable[[str], None] = print

    def run(self) -> bool:
        """Trains to the end. False if a signal ended it early, with a checkpoint written.

        The checkpoint that ends the run says `complete` in its manifest.
        """
        writer = MetricsWriter(self.workdir, self.start_step)
        stopwatch, batches, trained = Stopwatch(), iter(self.batches), 0.0
        rows, step = [], self.start_step
        complete = stopping = step >= self.train_steps
        with Interruption() as interruption:
            if step == 0:
                self._evaluate(writer, 0, stopwatch)
            while not stopping:
                with stopwatch.part("data"):
                    batch = next(batches)
                with stopwatch.part("compiling" if step == self.start_step else "step"):
                    rows.append(self.train_step(batch, step))
                step += 1
                complete = step == self.train_steps
                # Looked at once a step: a signal that comes later ends the next step, and is saved.
                stopping = complete or interruption.requested is not None
                if step % self.settings.log_every == 0 or stopping:
                    # Read before the clock: on an accelerator this is what waits for the steps.
                    metrics = means(rows)
                    check_finite(step, metrics)
                    seconds = stopwatch.read()
                    trained += seconds["training"]
                    self._log(writer, step, metrics, seconds, len(rows), trained)
                    rows = []
                score, due = None, step % self.settings.checkpoint_every == 0 or stopping
                if step % self.settings.eval_every == 0 or complete:
                    score = self._evaluate(writer, step, stopwatch)
                    best = self.checkpoints.best()
                    is_best = best is None or score < best["score"]
                    if not is_best and not complete and self._is_stale(step, best["step"]):
                        complete = stopping = True
                        self.say(f"no better since step {best['step']:,}: stopping early")
                    due = due or is_best or complete
                if due:
                    self._save(step, rows, score, stopwatch, complete)
        if not complete:
            self.say(
                f"{interruption.requested} received at step {step:,}: "
                "run the same command again to continue"
            )
        return complete

    def _is_stale(self, step: int, best_step: int) -> bool:
        since = (step - best_step) // self.settings.eval_every
        return self.patience is not None and since >= self.patience

    def _log(self, writer, step, metrics, seconds, count, trained) -> None:
        training = max(seconds["training"], 1e-9)
        metrics |= {
            "tokens_per_second": count * self.tokens_per_step / training,
            "data_wait_fraction": seconds.get("data", 0.0) / training,
            "seconds": trained,
        }
        per_step = trained / max(step - self.start_step, 1)
        self.say(
            progress_line(step, self.train_steps, metrics, per_step * (self.train_steps - step))
        )
        writer.write(step, "train", metrics)

    def _evaluate(self, writer, step, stopwatch) -> float:
        with stopwatch.part("evaluation"):
            metrics, samples = self.evaluate(step)
            self.say(evaluation_line(step, metrics))
            writer.write(step, "validation", metrics)
            if samples:
                writer.write_samples(step, samples)
        return metrics[self.better]

    def _save(self, step, rows, score, stopwatch, complete) -> None:
        """Saves; looks at metrics not read yet first, so that broken weights are never saved."""
        with stopwatch.part("checkpoint"):
            if rows:
                check_finite(step, means(rows))
            self.checkpoints.save(step, self.facts | {"complete": complete}, score)


def means(rows: list[dict]) -> dict[str, float]:
    """Means of scalar metrics over steps; the learning rate as it is now."""
    averaged = {
        name: float(np.mean([np.asarray(row[name]) for row in rows], dtype="float64"))
        for name in rows[0]
    }
    return averaged | {"learning_rate": float(rows[-1]["learning_rate"])}
