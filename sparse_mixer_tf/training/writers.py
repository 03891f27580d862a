"""Where measurements go: `metrics.jsonl` and TensorBoard."""

import json
import os
from numbers import Number
from pathlib import Path

import tensorflow as tf


class MetricsWriter:
    """Appends one JSON object a line, and scalars for TensorBoard.

    Args:
        workdir: holds `metrics.jsonl`, `samples.jsonl` and `tensorboard/`.
        from_step: lines of later steps, left by a run that was killed, are dropped; 0 drops all.
    """

    def __init__(self, workdir: Path, from_step: int = 0):
        self.workdir = Path(workdir)
        for name in ("metrics.jsonl", "samples.jsonl"):
            _drop_after(self.workdir / name, from_step)
        self._boards = {}

    def write(self, step: int, split: str, values: dict) -> None:
        """Writes numbers, and lists or dicts of numbers, of one step."""
        self._append("metrics.jsonl", {"step": step, "split": split} | values)
        if split not in self._boards:
            self._boards[split] = tf.summary.create_file_writer(
                str(self.workdir / "tensorboard" / split)
            )
        with self._boards[split].as_default(step=step):
            for name, value in _scalars(values):
                tf.summary.scalar(name, value)
            self._boards[split].flush()

    def write_samples(self, step: int, samples: list) -> None:
        """Writes what the model says about a few real examples."""
        self._append("samples.jsonl", {"step": step, "samples": samples})

    def _append(self, name: str, record: dict) -> None:
        with open(self.workdir / name, "a", encoding="utf-8") as file:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")


def _scalars(values: dict, prefix: str = ""):
    for name, value in values.items():
        if isinstance(value, Number):
            yield prefix + name, value
        elif isinstance(value, dict):
            yield from _scalars(value, f"{prefix}{name}/")
        elif isinstance(value, list) and not any(isinstance(item, list) for item in value):
            yield from _scalars(dict(enumerate_named(value)), f"{prefix}{name}/")


def enumerate_named(values: list):
    """`("00", first), ("01", second), …`, so that names sort as numbers do."""
    return ((f"{index:02d}", value) for index, value in enumerate(values))


def _drop_after(path: Path, step: int) -> None:
    """Keeps the lines up to `step`; a last line that was cut off in the middle goes too."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue
        if record["step"] <= step and step > 0:
            kept.append(line + "\n")
    temporary = path.with_suffix(".writing")
    temporary.write_text("".join(kept), encoding="utf-8")
    os.replace(temporary, path)
