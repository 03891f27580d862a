"""Scores a run on held-out data, or all runs of a benchmark.

python -m sparse_mixer_tf.evaluate --workdir=runs/quickstart
python -m sparse_mixer_tf.evaluate --workdir=runs/quickstart --dataset='texts/*.txt'
python -m sparse_mixer_tf.evaluate --workdir=runs/rte --dataset=super_glue/axb
python -m sparse_mixer_tf.evaluate --workdir=runs/glue --benchmark=glue --predictions=submission
python -m sparse_mixer_tf.evaluate --workdir=runs/brainformer --full_eval_mode --eval_stride=256
"""

import dataclasses
import json
import os
from pathlib import Path

from absl import flags

import sparse_mixer_tf.cli.flags as package_flags
from pipelines.settings import DataSettings
from sparse_mixer_tf.cli import app
from sparse_mixer_tf.experiments import benchmark_table
from sparse_mixer_tf.experiments.load import open_run
from sparse_mixer_tf.experiments.scoring import score, write_predictions
from sparse_mixer_tf.settings import SettingsError
from sparse_mixer_tf.training.console import evaluation_line
from sparse_mixer_tf.training.workdir import VOCABULARY, write_atomically

flags.DEFINE_list("split", [], "Splits to score; by default those that are held out.")
flags.DEFINE_string(
    "predictions", None, "Folder for the predictions on test splits, as leaderboards want them."
)
flags.DEFINE_bool(
    "full_eval_mode", False, "Language model: score the whole validation and the whole test split."
)
# What --help shows besides the program's own flags.
flags.declare_key_flag("workdir")
flags.declare_key_flag("benchmark")
flags.declare_key_flag("dataset")
flags.declare_key_flag("data_dir")
flags.declare_key_flag("eval_steps")
FLAGS = flags.FLAGS
# What may differ from the run's own data.
DATA_FLAGS = (
    "data_dir", "cache_dir", "text_field", "text_fields", "label_field", "label_type",
    "drop_unlabelled", "max_bad_records", "eval_stride", "eval_context",
)  # fmt: skip
HAVE_EFFECT = (*DATA_FLAGS, "workdir", "benchmark", "dataset", "eval_steps")


def main() -> int:
    package_flags.require("workdir")
    package_flags.refuse_without_effect(HAVE_EFFECT, "evaluate")
    workdir = Path(FLAGS.workdir)
    if FLAGS.benchmark:
        benchmark_table.evaluate(workdir, FLAGS.benchmark, FLAGS.predictions)
        return app.DONE
    task, facts, step = open_run(workdir)
    if FLAGS.predictions and facts["training"]["task"] != "classify":
        raise SettingsError(f"--predictions: {workdir} is no run of --task=classify")
    trained_on = task.data_settings
    task.open_data(_data_settings(workdir, trained_on))
    names = (task.data_settings.dataset, trained_on.dataset)
    is_foreign = len({os.path.realpath(os.path.expanduser(name)) for name in names}) == 2
    if FLAGS.predictions:
        for path in write_predictions(task, Path(FLAGS.predictions)):
            print(path)
        return app.DONE
    results = []
    for splits in _splits():
        # Data that the model was not trained on are scored whole unless a split is asked for.
        splits = splits or (task.whole_splits if is_foreign else ())
        metrics, samples = score(task, FLAGS.eval_steps, splits)
        print("\n".join(task.sample_lines(samples)))
        name = ",".join(splits) or "validation"
        print(f"{name}: {evaluation_line(step, metrics)}")
        results.append(
            {"step": step, "dataset": task.data_settings.dataset, "split": name} | metrics
        )
    content = results if FLAGS.full_eval_mode else results[0]
    write_atomically(workdir / "evaluation.json", json.dumps(content, indent=1) + "\n")
    return app.DONE


def _splits() -> list[tuple[str, ...]]:
    """Return the splits to score, one result for each."""
    if not FLAGS.full_eval_mode:
        return [tuple(FLAGS.split)]
    if FLAGS.split or FLAGS.eval_steps:
        raise SettingsError(
            "--full_eval_mode scores validation and test whole; leave out --split and --eval_steps"
        )
    return [("validation",), ("test",)]


def _data_settings(workdir: Path, trained_on: DataSettings) -> DataSettings:
    """The data of the run, or others, which are then tokenised in the run's vocabulary.

    How a language model is scored may change as well.
    """
    given = {name: FLAGS[name].value for name in DATA_FLAGS if FLAGS[name].present}
    if FLAGS["dataset"].present:
        given |= {"dataset": FLAGS.dataset}
        if (workdir / VOCABULARY).exists():
            given |= {"vocab_filepath": str(workdir / VOCABULARY)}
    return dataclasses.replace(trained_on, **given)


if __name__ == "__main__":
    app.run(main)
