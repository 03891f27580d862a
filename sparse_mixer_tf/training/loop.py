"""The training loop: steps, progress lines, evaluations, checkpoints, and a clean end."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sparse_mixer_tf.settings import RunSettings
from sparse_mixer_tf.training.async_checkpoint import Saver
from sparse_mixer_tf.training.console import Stopwatch, evaluation_line, progress_line
from sparse_mixer_tf.training.metric_writers import MetricsWriter
from sparse_mixer_tf.training.preemption import Interruption
from sparse_mixer_tf.training.profiler import Profiler
from sparse_mixer_tf.training.stability import Watch

# Of one step, or of one variable: not metrics to average.
_NOT_AVERAGED = ("applied", "spike", "gradient_squares")


@dataclass
class Loop:
    """One run from its current step to its last.

    Attributes:
        start: what the checkpoint that the run continues from says; `{"step": 0}` for a new run.
            `passed_over` are batches that a rollback left out.
        batches: `index -> endless batches, beginning with that one`.
        train_step: `(batch, step) -> metrics`.
        evaluate: `step -> (metrics, samples)` on held-out data.
        saver: of checkpoints.
        watch: decides about steps that were not applied.
        tokens_per_step: of the global batch, padding counted.
        facts: goes into every checkpoint's manifest.
        better: the evaluation metric that decides which checkpoint is best, lowest first.
        patience: evaluations without a new best after which the run is complete; None for never.
        agree: `bool -> bool`, true in every process once it is in one.
        listen: given what asks the run to stop, by a name, a context that may call it.
    """

    workdir: Path
    settings: RunSettings
    start: dict
    train_steps: int
    batches: Callable[[int], Iterable]
    train_step: Callable
    evaluate: Callable
    saver: Saver
    watch: Watch
    tokens_per_step: int
    facts: dict
    better: str = "loss"
    patience: int | None = None
    agree: Callable[[bool], bool] = bool
    listen: Callable[[Callable[[str], None]], AbstractContextManager] = nullcontext
    say: Callable[[str], None] = print

    def run(self) -> bool:
        """Trains to the end. False if it was asked to stop early, with a checkpoint written.

        The checkpoint that ends the run says `complete` in its manifest.
        """
        self._stopwatch = stopwatch = Stopwatch()
        self._begin(self.start)
        # One of a later step is damaged, and comes again.
        self._best = self.saver.checkpoints.best(self.start["step"])
        self._trained, self._steps_timed = 0.0, 0
        first = step = self._step
        steps_profiled = self.settings.profile if self.saver.writes else None
        profiler = Profiler(self.workdir / "tensorboard", steps_profiled)
        complete = stopping = step >= self.train_steps
        with Interruption() as interruption, self.listen(interruption.request):
            if step == 0:
                self._evaluate(0)
            while not stopping:
                profiler.before(step)
                with stopwatch.part("data"):
                    batch = next(self._stream)
                with stopwatch.part("compiling" if step == first else "step"):
                    self._rows.append(self.train_step(batch, step))
                # Freed while the next one is handed over, it would let the thread that fetches the
                # one behind that go first.
                del batch
                step += 1
                complete = step == self.train_steps
                # Looked at once a step: a signal that comes later ends the next step, and is saved.
                stopping = self.agree(interruption.requested is not None) or complete
                log = step % self.settings.log_every == 0 or stopping
                evaluate = step % self.settings.eval_every == 0 or complete
                save = step % self.settings.checkpoint_every == 0 or stopping
                if log or evaluate or save:
                    # Read before the clock: on an accelerator this is what waits for the steps.
                    with stopwatch.part("step"):
                        failed = self._examine(step)
                    if failed is not None:
                        step = self._roll_back(failed)
                        complete = stopping = False
                        continue
                if log:
                    self._log(step)
                score = None
                if evaluate:
                    score = self._evaluate(step)
                    is_best = self._best is None or score < self._best["score"]
                    if is_best:
                        self._best = {"step": step, "score": score}
                    elif not complete and self._is_stale(step):
                        complete = stopping = True
                        self.say(f"no better since step {self._best['step']:,}: stopping early")
                    save = save or is_best or complete
                if save:
                    self._save(step, score, complete)
            profiler.finish()
            self.saver.finish()
        if not complete:
            self.say(
                f"{interruption.requested or 'a signal'} received at step {step:,}: "
                "run the same command again to continue"
            )
        return complete

    def _begin(self, manifest: dict) -> None:
        """Takes up the run where a checkpoint left it."""
        self._step = self._logged_step = manifest["step"]
        self._passed_over = manifest.get("passed_over", 0)
        self.watch.rollbacks = max(self.watch.rollbacks, manifest.get("rollbacks", 0))
        self._writer = MetricsWriter(self.workdir, self._step, writes=self.saver.writes)
        self._stream = iter(self.batches(self._step + self._passed_over))
        self._rows, self._examined = [], []

    def _examine(self, step: int) -> int | None:
        """Looks at the steps since the last time; the step to roll back from, if there is one."""
        rows = [{name: np.asarray(x) for name, x in row.items()} for row in self._rows]
        can_roll_back = False
        if not all(row["applied"] for row in rows):
            # Every process looks at the same checkpoints once the chief has written its last.
            self.saver.wait()
            self.agree(False)
            can_roll_back = bool(self.saver.checkpoints.steps())
        failed = self.watch.examine(step - len(rows) + 1, rows, can_roll_back)
        self._rows = []
        self._examined += rows
        return failed

    def _roll_back(self, failed: int) -> int:
        """Goes back to the newest checkpoint, and on with the batch after that of step `failed`."""
        self.saver.wait()
        manifest = self.saver.checkpoints.restore_latest()
        passed_over = self._passed_over + failed - manifest["step"]
        self.say(
            f"back to step {manifest['step']:,}, leaving out {failed - manifest['step']:,} batches "
            f"(rollback {self.watch.rollbacks} of at most {self.settings.max_rollbacks})"
        )
        self._begin(manifest | {"passed_over": passed_over})
        return self._step

    def _is_stale(self, step: int) -> bool:
        since = (step - self._best["step"]) // self.settings.eval_every
        return self.patience is not None and since >= self.patience

    def _log(self, step: int) -> None:
        seconds, count = self._stopwatch.read(), step - self._logged_step
        self._trained += seconds["training"]
        self._steps_timed += count
        applied = [row for row in self._examined if row["applied"]]
        left_out = len(self._examined) - len(applied)
        self._examined, self._logged_step = [], step
        if not applied:
            return
        training = max(seconds["training"], 1e-9)
        metrics = (
            means(applied)
            | {
                "tokens_per_second": count * self.tokens_per_step / training,
                "data_wait_fraction": seconds.get("data", 0.0) / training,
                "seconds": self._trained,
            }
            | {
                f"{part}_seconds": seconds[part]
                for part in ("step", "data", "compiling", "evaluation")
                if part in seconds
            }
        )
        if left_out:
            metrics["steps_not_applied"] = left_out
        if "checkpoint" in seconds:
            metrics["checkpoint_stall_seconds"] = seconds["checkpoint"]
        left = self._trained / self._steps_timed * (self.train_steps - step)
        self.say(progress_line(step, self.train_steps, metrics, left))
        self._writer.write(step, "train", metrics)

    def _evaluate(self, step: int) -> float:
        with self._stopwatch.part("evaluation"):
            metrics, samples = self.evaluate(step)
            self.say(evaluation_line(step, metrics))
            self._writer.write(step, "validation", metrics)
            if samples:
                self._writer.write_samples(step, samples)
        return metrics[self.better]

    def _save(self, step: int, score: float | None, complete: bool) -> None:
        facts = {
            "complete": complete,
            "passed_over": self._passed_over,
            "rollbacks": self.watch.rollbacks,
        }
        with self._stopwatch.part("checkpoint"):
            self.saver.save(step, self.facts | facts, score)


def means(rows: list[dict]) -> dict[str, float]:
    """Means of scalar metrics over steps; the learning rate as it is now."""
    averaged = {
        name: float(np.mean([row[name] for row in rows], dtype="float64"))
        for name in rows[0]
        if name not in _NOT_AVERAGED
    }
    return averaged | {"learning_rate": float(rows[-1]["learning_rate"])}
