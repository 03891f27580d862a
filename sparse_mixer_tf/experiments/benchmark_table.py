"""The table of a benchmark, from the runs of its tasks in one folder."""

import dataclasses
import json
from pathlib import Path
from statistics import mean

from pipelines.errors import InputError
from pipelines.labelled import glue
from sparse_mixer_tf.experiments import results, scoring
from sparse_mixer_tf.experiments.load import open_run
from sparse_mixer_tf.experiments.results import Group
from sparse_mixer_tf.experiments.sweep import BENCHMARKS
from sparse_mixer_tf.settings import SettingsError
from sparse_mixer_tf.training.workdir import write_atomically


def evaluate(workdir: Path, benchmark: str, predictions: str | None = None) -> None:
    """Prints the table and writes it as `benchmark.json` and `benchmark.md`.

    Args:
        workdir: holds the runs of the tasks, at any depth.
        benchmark: `glue` or `superglue`.
        predictions: folder for the leaderboard's files, of the best run of each task.

    Raises:
        SettingsError: there is no scored run of any task.
    """
    name = BENCHMARKS[benchmark]
    best = best_groups(workdir)
    best = {task: group for task, group in best.items() if task.startswith(f"{name}/")}
    if not best:
        raise SettingsError(
            f"--workdir={workdir} holds no scored run of --benchmark={benchmark}; train them with "
            f"python -m sparse_mixer_tf.train --benchmark={benchmark} --workdir={workdir}"
        )
    diagnosed = _diagnose(name, best)
    table = summarise(name, best, diagnosed)
    text = markdown(table)
    write_atomically(workdir / "benchmark.json", json.dumps(table, indent=1) + "\n")
    write_atomically(workdir / "benchmark.md", text)
    print(text)
    if predictions:
        _predict(name, best, Path(predictions))


def best_groups(workdir: Path) -> dict[str, Group]:
    """For each task its runs at the learning rate with the best median."""
    best = {}
    for group in results.groups(workdir):
        best.setdefault(group.dataset, group)
    return best


def summarise(name: str, best: dict[str, Group], diagnosed: dict[str, dict]) -> dict:
    """The table as a record: a row a task, the average, and what is missing from it."""
    rows, scores, missing, remarks = [], [], [], []
    for task_name in glue.BENCHMARKS[name]:
        found = [t for t in (task_name, glue.SAME_TASK.get(task_name)) if t in best]
        if not found:
            missing.append(task_name)
            continue
        group, task = best[found[0]], glue.TASKS[found[0]]
        shown = (*task.metrics, *task.original_metrics)
        rows.append(
            {
                "task": task.name,
                "metrics": {metric: group.median(metric) for metric in shown},
                "score": group.score,
                "spread": list(group.spread),
                "runs": len(group.results),
                "learning_rate": group.learning_rate,
            }
        )
        scores.append(group.score)
        unfinished = sum(not result.complete for result in group.results)
        if unfinished:
            remarks.append(f"{task.name}: {unfinished} of its runs are not complete")
        parts = [split.removeprefix("validation_") for split in task.validation]
        if len(parts) > 1 and f"{parts[0]}_{task.metrics[0]}" not in group.best.metrics:
            remarks.append(f"{task.name}: not scored on all of {', '.join(task.validation)}")
    total = len(glue.BENCHMARKS[name])
    return {
        "benchmark": name,
        "rows": rows,
        "average": mean(scores) if scores else None,
        "average_of": [len(scores), total],
        "missing": missing,
        "diagnostics": diagnosed,
        "remarks": remarks,
    }


def markdown(table: dict) -> str:
    """The record as a table in Markdown, with a plain statement of what the average is."""
    lines = [
        "| task | metrics, held out | score | least to greatest | runs | learning rate |",
        "|---|---|---|---|---|---|",
    ]
    for row in table["rows"]:
        least, greatest = row["spread"]
        lines.append(
            f"| {row['task']} | {_metrics(row['metrics'])} | {100 * row['score']:.1f} | "
            f"{100 * least:.1f} to {100 * greatest:.1f} | {row['runs']} | "
            f"{row['learning_rate']:g} |"
        )
    for task, metrics in table["diagnostics"].items():
        lines.append(f"| {task} (diagnostic) | {_metrics(metrics)} | | | | |")
    count, total = table["average_of"]
    if table["average"] is not None:
        lines.append(f"\nAverage of {count} of {total} tasks: {100 * table['average']:.1f}.")
    if table["missing"]:
        lines.append(
            f"This is not the average of the benchmark: {', '.join(table['missing'])} missing."
        )
    lines += [f"{remark}." for remark in table["remarks"]]
    return "\n".join(lines) + "\n"


def _metrics(metrics: dict) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {100 * v:.1f}" for name, v in metrics.items())


def _diagnose(name: str, best: dict[str, Group]) -> dict[str, dict]:
    """Scores of the labelled diagnostic sets, by the best run of the task that they go with."""
    found = {}
    for task_name in glue.DIAGNOSTICS[name]:
        facts = glue.TASKS[task_name]
        if facts.model not in best or not facts.validation:
            continue
        try:
            task = _open(best[facts.model], task_name)
            metrics, _ = scoring.score(task)
        except InputError as error:
            print(f"left out: {error}")
            continue
        found[task_name] = {m: metrics[m] for m in (*facts.metrics, *facts.original_metrics)}
    return found


def _predict(name: str, best: dict[str, Group], folder: Path) -> None:
    for task_name in (*best, *glue.DIAGNOSTICS[name]):
        owner = glue.TASKS[task_name].model or task_name
        if owner not in best:
            continue
        try:
            for path in scoring.write_predictions(_open(best[owner], task_name), folder):
                print(path)
        except (InputError, SettingsError) as error:
            print(f"left out: {error}")


def _open(group: Group, dataset: str):
    """The best run of a group, with the data of a task open."""
    task, _, _ = open_run(group.best.workdir)
    task.open_data(dataclasses.replace(task.data_settings, dataset=dataset))
    return task
