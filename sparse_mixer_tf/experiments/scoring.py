"""A trained model on held-out data: scores, examples, and files for leaderboards."""

from pathlib import Path

import tensorflow as tf

from sparse_mixer_tf.experiments import leaderboard
from sparse_mixer_tf.settings import SettingsError
from sparse_mixer_tf.tasks import Classification
from sparse_mixer_tf.tasks.base import Task
from sparse_mixer_tf.training.eval_step import EvaluationStep, evaluation_sums
from sparse_mixer_tf.training.workdir import write_atomically


def score(
    task: Task, num_batches: int | None = None, splits: tuple[str, ...] = ()
) -> tuple[dict, list[dict]]:
    """Metrics of a task whose data are open and whose model is built, and a few examples."""
    sums = _sums(task, task.evaluation_stream(num_batches, splits))
    return task.summary(sums), task.samples(sums)


def write_predictions(task: Classification, folder: Path) -> list[Path]:
    """Writes a file for each test split of a task of GLUE or SuperGLUE.

    Raises:
        SettingsError: it is no such task, or its test split is not there.
    """
    source = task.data.source
    if not hasattr(source, "task"):
        raise SettingsError(
            f"--predictions: {task.data_settings.dataset} is no task of GLUE or SuperGLUE"
        )
    if not source.test:
        raise SettingsError(
            f"--predictions: {task.data_settings.dataset} is prepared without "
            f"{' and '.join(source.task.test)}; prepare it, or leave --predictions out"
        )
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for split in source.test:
        sums = _sums(task, task.unlabelled_stream(split))
        path = folder / leaderboard.file_name(source.task, split)
        examples = task.held_out[split].examples
        text = leaderboard.content(source.task, task.labels, examples, sums["outputs"])
        write_atomically(path, text)
        paths.append(path)
    return paths


def _sums(task: Task, held_out) -> dict:
    strategy = tf.distribute.get_strategy()
    step = EvaluationStep(task.evaluation_sums, strategy, initial_memory=task.initial_memory)
    return evaluation_sums(held_out, step)
