"""Scores a run on held-out data, or all runs of a benchmark.

python -m sparse_mixer_tf.evaluate --workdir=runs/quickstart
python -m sparse_mixer_tf.evaluate --workdir=runs/quickstart --dataset='texts/*.txt'
python -m sparse_mixer_tf.evaluate --workdir=runs/rte --dataset=super_glue/axb
python -m sparse_mixer_tf.evaluate --workdir=runs/glue --benchmark=glue --predictions=submission
"""

import dataclasses
import json
from pathlib import Path

from absl import flags

import sparse_mixer_tf.flags as package_flags
from pipelines.settings import DataSettings
from sparse_mixer_tf import benchmark, command_line
from sparse_mixer_tf.runs import open_run
from sparse_mixer_tf.scoring import score, write_predictions
from sparse_mixer_tf.settings import SettingsError
from sparse_mixer_tf.training.progress import evaluation_line
from sparse_mixer_tf.training.workdir import VOCABULARY, write_atomically

flags.DEFINE_list("split", [], "Splits to score; by default those that are held out.")
flags.DEFINE_string(
    "predictions", None, "Folder for the predictions on test splits, as leaderboards want them."
)
FLAGS = flags.FLAGS


def main() -> int:
    package_flags.require("workdir")
    workdir = Path(FLAGS.workdir)
    if FLAGS.benchmark:
        benchmark.evaluate(workdir, FLAGS.benchmark, FLAGS.predictions)
        return command_line.DONE
    task, facts, step = open_run(workdir)
    if FLAGS.predictions and facts["training"]["task"] != "classify":
        raise SettingsError(f"--predictions: {workdir} is no run of --task=classify")
    task.open_data(_data_settings(workdir, task.data_settings))
    if FLAGS.predictions:
        for path in write_predictions(task, Path(FLAGS.predictions)):
            print(path)
        return command_line.DONE
    metrics, samples = score(task, FLAGS.eval_steps, tuple(FLAGS.split))
    print("\n".join(task.sample_lines(samples)))
    print(evaluation_line(step, metrics))
    result = {"step": step, "dataset": task.data_settings.dataset}
    result |= {"split": ",".join(FLAGS.split) or "validation"} | metrics
    write_atomically(workdir / "evaluation.json", json.dumps(result, indent=1) + "\n")
    return command_line.DONE


def _data_settings(workdir: Path, trained_on: DataSettings) -> DataSettings:
    """The data of the run, or others, which are then tokenised in the run's vocabulary."""
    places = ("data_dir", "cache_dir", "text_fields", "label_field")
    given = {name: FLAGS[name].value for name in places if FLAGS[name].present}
    if FLAGS["dataset"].present:
        given |= {"dataset": FLAGS.dataset, "vocab_filepath": str(workdir / VOCABULARY)}
    return dataclasses.replace(trained_on, **given)


if __name__ == "__main__":
    command_line.run(main)
