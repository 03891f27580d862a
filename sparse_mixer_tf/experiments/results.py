"""The scores of finished runs, read from what they logged: no model, no data."""

from dataclasses import dataclass
from pathlib import Path
from statistics import median

from sparse_mixer_tf.experiments import log
from sparse_mixer_tf.training.checkpoint import Checkpoints
from sparse_mixer_tf.training.workdir import SETTINGS, read_settings


@dataclass(frozen=True)
class Result:
    """A run at its best checkpoint.

    Attributes:
        workdir: of the run.
        dataset: what it was trained on.
        learning_rate: peak.
        seed: of the run.
        step: of the best checkpoint.
        complete: whether the run has ended.
        metrics: held out, at that step.
    """

    workdir: Path
    dataset: str
    learning_rate: float
    seed: int
    step: int
    complete: bool
    metrics: dict

    @property
    def score(self) -> float:
        """The task's score; without one, the negative loss: greater is better."""
        return self.metrics.get("score", -self.metrics["loss"])


@dataclass(frozen=True)
class Group:
    """Runs that differ in their seed alone."""

    dataset: str
    learning_rate: float
    results: tuple[Result, ...]

    @property
    def score(self) -> float:
        """Median over seeds."""
        return median(result.score for result in self.results)

    @property
    def spread(self) -> tuple[float, float]:
        """Least and greatest score over seeds."""
        values = [result.score for result in self.results]
        return min(values), max(values)

    @property
    def best(self) -> Result:
        return max(self.results, key=lambda result: result.score)

    def median(self, metric: str) -> float:
        """Of a held-out metric, over seeds."""
        return median(result.metrics[metric] for result in self.results)


def result(workdir: Path) -> Result | None:
    """Return the result of a run so far; None if it is no run or has no score yet."""
    if not (workdir / SETTINGS).exists():
        return None
    settings = read_settings(workdir)
    checkpoints = Checkpoints(workdir / "checkpoints", {})
    best, latest = checkpoints.best(), checkpoints.latest_manifest()
    if best is None:
        return None
    held_out = [
        record
        for record in log.read_json_lines(workdir / "metrics.jsonl")
        if record["step"] == best["step"] and record.get("split") == "validation"
    ]
    if not held_out:
        return None
    return Result(
        workdir=workdir,
        dataset=settings["data"]["dataset"],
        learning_rate=settings["training"]["learning_rate"],
        seed=settings["training"]["seed"],
        step=best["step"],
        complete=bool(latest.get("complete")),
        metrics={k: v for k, v in held_out[-1].items() if k not in ("step", "split")},
    )


def groups(folder: Path) -> list[Group]:
    """The runs in a folder, at any depth, by data set and learning rate, best first in a data set.

    Runs within runs are not looked for.
    """
    found = {}
    for path in sorted(folder.rglob(SETTINGS)):
        one = result(path.parent)
        if one is not None:
            found.setdefault((one.dataset, one.learning_rate), []).append(one)
    made = [Group(*key, tuple(results)) for key, results in found.items()]
    return sorted(made, key=lambda group: (group.dataset, -group.score))
