"""The records of a run: `metrics.jsonl`, `settings.json`, `samples.jsonl`."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sparse_mixer_tf.settings import SettingsError

BOOKKEEPING = ("step", "split", "seconds", "baseline_accuracy", "ngram_bits_per_character")


@dataclass(frozen=True)
class RunLog:
    """The records of a run, in the order of their steps.

    Attributes:
        train: records of the training split, one a logged step.
        validation: records of the held-out split, one an evaluation.
        settings: the settings, nested dicts flattened to dotted names.
        samples: what the model said about examples of the last evaluation: masked sentences, each a
            dict of `text` and `predictions`, mistakes of a classifier, each a dict of `segments`,
            `truth`, `said` and `size`, or continued texts, each a dict of `prompt` and
            `continuation`; empty when the run wrote none.
    """

    train: list[dict[str, Any]]
    validation: list[dict[str, Any]]
    settings: dict[str, Any]
    samples: list[dict[str, Any]]

    def series(self, key: str, split: str) -> tuple[np.ndarray, np.ndarray]:
        """Steps and finite values of one metric, `[points] int64` and `[points] float64`."""
        points = [
            (record["step"], record[key])
            for record in getattr(self, split)
            if is_number(record.get(key)) and math.isfinite(record[key])
        ]
        steps, values = zip(*points, strict=True) if points else ((), ())
        return np.array(steps, np.int64), np.array(values, np.float64)

    def last(self, key: str, split: str) -> float | None:
        """The latest finite value of a metric, None where there is none."""
        values = self.series(key, split)[1]
        return float(values[-1]) if len(values) else None

    def metrics_of_both_splits(self) -> list[str]:
        """Names of the numbers that training and validation both report, in order of appearance."""
        train = {key: None for record in self.train for key in record}
        validation = {key for record in self.validation for key in record}
        return [
            key
            for key in train
            if key in validation and key not in BOOKKEEPING and len(self.series(key, "train")[0])
        ]

    def expert_load(self) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Steps `[evaluations]` and, for each expert layer, loads `[num_experts, evaluations]`."""
        records = [record for record in self.validation if record.get("expert_load")]
        names = sorted({name for record in records for name in record["expert_load"]})
        records = [record for record in records if len(record["expert_load"]) == len(names)]
        steps = np.array([record["step"] for record in records], np.int64)
        return steps, {
            name: np.array([record["expert_load"][name] for record in records]).T for name in names
        }

    def routing_by_layer(self, key: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Steps `[evaluations]` and, for each expert layer, a routing measure `[evaluations]`."""
        records = [r for r in self.validation if r.get("routing_by_layer")]
        names = sorted(records[-1]["routing_by_layer"]) if records else []
        records = [
            r for r in records if all(key in r["routing_by_layer"].get(n, {}) for n in names)
        ]
        if not records:
            names = []
        steps = np.array([record["step"] for record in records], np.int64)
        return steps, {
            name: np.array([record["routing_by_layer"][name][key] for record in records])
            for name in names
        }

    def learned_spans(self) -> dict[str, list[float]]:
        """For each adaptive attention the span of each head, in tokens, at the last evaluation."""
        records = [record for record in self.validation if record.get("learned_spans")]
        return records[-1]["learned_spans"] if records else {}


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def read(workdir: Path) -> RunLog:
    """Reads the log of a run.

    Raises:
        SettingsError: `workdir` holds no run, or one without metrics.
    """
    metrics = Path(workdir) / "metrics.jsonl"
    if not metrics.is_file():
        is_run = (Path(workdir) / "settings.json").is_file()
        what = "has logged nothing yet" if is_run else "is no run"
        raise SettingsError(f"{workdir} {what}: expected {metrics}, which training writes")
    records = read_json_lines(metrics)
    if not records:
        raise SettingsError(
            f"{workdir} has no metrics to report on yet; {metrics} gets a line with --log_every"
        )
    settings = workdir / "settings.json"
    try:
        known = json.loads(settings.read_text("utf-8")) if settings.is_file() else {}
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{settings} cannot be read: {error}") from None
    evaluations = read_json_lines(workdir / "samples.jsonl")
    return RunLog(
        train=_by_step(records, "train"),
        validation=_by_step(records, "validation"),
        settings=flatten(known) if isinstance(known, dict) else {},
        samples=max(evaluations, key=lambda record: record["step"])["samples"]
        if evaluations
        else [],
    )


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """All whole lines of a file, none where it is missing.

    A killed run may have left its last line half written.
    """
    records = []
    if not path.is_file():
        return records
    # Not splitlines(): a line separator inside of a text ends no line.
    for line in path.read_text("utf-8", errors="replace").split("\n"):
        try:
            records.append(json.loads(line))
        except (ValueError, RecursionError):
            continue
    return [r for r in records if isinstance(r, dict) and isinstance(r.get("step"), int)]


def flatten(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"a": {"b": 1}}` as `{"a.b": 1}`."""
    flat = {}
    for key, value in settings.items():
        if isinstance(value, dict) and value:
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _by_step(records: list[dict[str, Any]], split: str) -> list[dict[str, Any]]:
    # A continued run repeats the steps after its checkpoint: the later record counts.
    latest = {record["step"]: record for record in records if record.get("split") == split}
    return [latest[step] for step in sorted(latest)]
