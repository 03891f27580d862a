"""Scores a run on held-out data.

python -m sparse_mixer_tf.evaluate --workdir=runs/quickstart
python -m sparse_mixer_tf.evaluate --workdir=runs/quickstart --dataset='texts/*.txt'
"""

import dataclasses
import json
from pathlib import Path

import tensorflow as tf
from absl import flags

import sparse_mixer_tf.flags as package_flags
from pipelines.prepare import open_or_prepare
from pipelines.settings import DataSettings
from sparse_mixer_tf import command_line
from sparse_mixer_tf.runs import VOCABULARY, open_run
from sparse_mixer_tf.settings import SettingsError
from sparse_mixer_tf.tasks.filling import fill, sample_lines
from sparse_mixer_tf.training.evaluation import evaluation_sums
from sparse_mixer_tf.training.progress import evaluation_line
from sparse_mixer_tf.training.step import EvaluationStep
from sparse_mixer_tf.training.workdir import write_atomically

FLAGS = flags.FLAGS


def main() -> int:
    package_flags.require("workdir")
    workdir = Path(FLAGS.workdir)
    task, facts, step = open_run(workdir)
    settings = _data_settings(workdir, task.data_settings)
    store = open_or_prepare(settings, settings.cache_dir)
    if store.vocabulary.fingerprint != facts["vocabulary_fingerprint"]:
        raise SettingsError(
            f"the data were tokenised with vocabulary {store.vocabulary.fingerprint[:12]}, the run "
            f"with {facts['vocabulary_fingerprint'][:12]}; name the data with --dataset, so that "
            "they are tokenised anew"
        )
    frequent = task.most_frequent_token(store)
    held_out = task.evaluation_stream(store, FLAGS.eval_steps)
    scored = EvaluationStep(
        lambda batch: task.evaluation_sums(batch, frequent), tf.distribute.get_strategy()
    )
    metrics = task.summary(evaluation_sums(held_out, scored))
    shown = {k: v.numpy()[:6] for k, v in next(iter(held_out)).items()}
    print("\n".join(sample_lines(fill(task.model, shown, task.vocabulary))))
    print(evaluation_line(step, metrics))
    result = {"step": step, "dataset": settings.dataset, "split": "validation"} | metrics
    write_atomically(workdir / "evaluation.json", json.dumps(result, indent=1) + "\n")
    return command_line.DONE


def _data_settings(workdir: Path, trained_on: DataSettings) -> DataSettings:
    """The data of the run, or others, which are then tokenised in the run's vocabulary."""
    given = {name: FLAGS[name].value for name in ("data_dir", "cache_dir") if FLAGS[name].present}
    if FLAGS["dataset"].present:
        given |= {"dataset": FLAGS.dataset, "vocab_filepath": str(workdir / VOCABULARY)}
    return dataclasses.replace(trained_on, **given)


if __name__ == "__main__":
    command_line.run(main)
