"""Writers of measurements: `metrics.jsonl` and TensorBoard."""

import json
import os
from functools import partial
from numbers import Number
from pathlib import Path

import tensorflow as tf
from absl import logging

from sparse_mixer_tf.training.retry import with_retries


class MetricsWriter:
    """Appends one JSON object a line, and scalars for TensorBoard.

    Args:
        workdir: holds `metrics.jsonl`, `samples.jsonl` and `tensorboard/`.
        from_step: lines of later steps, left by a run that was killed, are dropped; 0 drops all.
        writes: False for a process that writes nothing.
    """

    def __init__(self, workdir: Path, from_step: int = 0, writes: bool = True):
        self.workdir, self.writes = Path(workdir), writes
        self._boards, self._unwritten = {}, {}
        if writes:
            for name in ("metrics.jsonl", "samples.jsonl"):
                path = self.workdir / name
                with_retries(partial(_drop_after, path, from_step), f"shortening {path}")

    def write(self, step: int, split: str, values: dict) -> None:
        """Writes numbers, and lists or dicts of numbers, of one step.

        What cannot be written is a warning, and is written with the next line if it can be then.
        """
        if not self.writes:
            return
        self._append("metrics.jsonl", {"step": step, "split": split} | values)
        try:
            self._write_board(step, split, values)
        except (OSError, tf.errors.OpError) as error:
            logging.warning("TensorBoard's files in %s: %s", self.workdir, error)

    def _write_board(self, step: int, split: str, values: dict) -> None:
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
        if self.writes:
            self._append("samples.jsonl", {"step": step, "samples": samples})

    def _append(self, name: str, record: dict) -> None:
        lines = self._unwritten.pop(name, "") + json.dumps(record, ensure_ascii=False) + "\n"
        path = self.workdir / name
        size = path.stat().st_size if path.exists() else 0
        try:
            with open(path, "a", encoding="utf-8") as file:
                file.write(lines)
        except OSError as error:
            logging.warning("%s: %s; written later if it can be", path, error)
            self._unwritten[name] = lines
            if path.exists():
                os.truncate(path, size)


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
    """Keeps the lines up to `step`; a last line that was cut off in the middle goes too.

    So does any that is damaged, with a warning.
    """
    if not path.exists():
        return
    # Not splitlines(): a line separator inside of a text ends no line.
    *lines, _ = path.read_text(encoding="utf-8", errors="replace").split("\n")
    numbered = [(_step_of(line), line) for line in lines]
    kept = [line + "\n" for at, line in numbered if at is not None and 0 < step >= at]
    damaged = sum(at is None for at, _ in numbered)
    if damaged:
        logging.warning("%s: %d damaged line(s) left out", path, damaged)
    temporary = path.with_suffix(".writing")
    temporary.write_text("".join(kept), encoding="utf-8")
    os.replace(temporary, path)


def _step_of(line: str) -> int | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    step = record.get("step") if isinstance(record, dict) else None
    return step if isinstance(step, int) else None
