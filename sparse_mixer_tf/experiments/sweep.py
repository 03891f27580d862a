"""Several runs one after the other: seeds, learning rates, the tasks of a benchmark.

Each is an ordinary run in a folder of its own, in a process of its own, so the sweep continues
where it stopped and any of its runs can be repeated or continued alone.
"""

import itertools
import json
import signal
import subprocess
import sys
from pathlib import Path

from absl import flags

import sparse_mixer_tf.cli.flags as package_flags
from pipelines.errors import InputError
from pipelines.labelled import glue
from pipelines.labelled.glue_source import GlueSource
from sparse_mixer_tf.experiments import results
from sparse_mixer_tf.settings import SettingsError
from sparse_mixer_tf.training.workdir import SETTINGS, write_atomically

FLAGS = flags.FLAGS
TRAIN = "sparse_mixer_tf.train"
BENCHMARKS = {"glue": "glue", "superglue": "super_glue"}
_OURS = ("seeds", "learning_rates", "benchmark", "seed", "learning_rate", "dataset")


def run(workdir: Path) -> int:
    """Trains every run of the sweep that is not complete; returns the first exit code but 0.

    Raises:
        SettingsError: a seed or a rate is no number, or the folder is itself a run.
        InputError: no task of the benchmark is prepared.
    """
    if (workdir / SETTINGS).exists():
        raise SettingsError(
            f"--workdir={workdir} is one run; give a folder of its own to several of them"
        )
    common = package_flags.given(without=_OURS)
    for folder, arguments in points(workdir):
        print(f"\n{folder}", flush=True)
        code = _run_one([*common, *arguments, f"--workdir={folder}"])
        if code:
            return code
    print(report(workdir))
    return 0


def points(workdir: Path) -> list[tuple[Path, list[str]]]:
    """The folder of every run, and the flags that set it apart."""
    rates = [_number("learning_rates", text, float) for text in FLAGS.learning_rates]
    seeds = [_number("seeds", text, int) for text in FLAGS.seeds]
    found = []
    for dataset in _datasets():
        for rate, seed in itertools.product(rates or [None], seeds or [None]):
            parts = {"learning_rate": rate, "seed": seed}
            names = [f"{name}_{value:g}" for name, value in parts.items() if value is not None]
            folder = workdir / dataset.replace("/", "_") if FLAGS.benchmark else workdir
            arguments = [f"--dataset={dataset}"]
            arguments += [f"--learning_rate={FLAGS.learning_rate if rate is None else rate}"]
            arguments += [f"--seed={FLAGS.seed if seed is None else seed}"]
            found.append((folder / "-".join(names) if names else folder, arguments))
    return found


def report(workdir: Path) -> str:
    """A table of the sweep, median over seeds with least and greatest; `sweep.json` beside it."""
    groups = results.groups(workdir)
    rows = [("data", "learning rate", "runs", "median", "least", "greatest")]
    for group in groups:
        values = (group.score, *group.spread)
        rows.append(
            (group.dataset, f"{group.learning_rate:g}", str(len(group.results)))
            + tuple(f"{value:.4f}" for value in values)
        )
    record = [
        {
            "dataset": group.dataset,
            "learning_rate": group.learning_rate,
            "median": group.score,
            "spread": group.spread,
            "runs": {str(r.workdir.relative_to(workdir)): r.metrics for r in group.results},
        }
        for group in groups
    ]
    write_atomically(workdir / "sweep.json", json.dumps(record, indent=1) + "\n")
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True))
        for row in rows
    ]
    return "\n".join(["", "held-out score, over seeds", *lines])


def _datasets() -> list[str]:
    """The data sets to train on; those of a benchmark that are not prepared are named."""
    if not FLAGS.benchmark:
        return [FLAGS.dataset]
    found = []
    for name in glue.BENCHMARKS[BENCHMARKS[FLAGS.benchmark]]:
        problems = []
        for task in (name, glue.SAME_TASK.get(name)):
            try:
                if task and "train" in GlueSource(task, FLAGS.data_dir).sizes:
                    found.append(task)
                    break
            except InputError as error:
                problems.append(str(error))
        else:
            print(f"left out: {problems[0] if problems else name + ' has no training split'}")
    if not found:
        raise InputError(
            f"--benchmark={FLAGS.benchmark}: none of its tasks is prepared in "
            f"--data_dir={FLAGS.data_dir}"
        )
    return found


def _number(name: str, text: str, kind: type):
    try:
        return kind(text)
    except ValueError:
        example = "1,2,3" if kind is int else "1e-4,3e-4"
        raise SettingsError(
            f"--{name}: {text!r} is no number; write them as --{name}={example}"
        ) from None


def _run_one(arguments: list[str]) -> int:
    """One run in a process of its own, which gets the signals that this one receives."""
    process = subprocess.Popen([sys.executable, "-m", TRAIN, *arguments])
    before = {
        number: signal.signal(number, lambda received, _: process.send_signal(received))
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        return process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
