"""Does pre-training help? The same model fine-tuned from a pre-trained run and from scratch.

    python -m benchmarks.pretraining_helps --workdir=runs/helps --data_dir=DIR \
        --pretrain='--flagfile=configs/your_text.flags --dataset=local_web_text'

Pre-trains one model, then fine-tunes it and its untrained twin on each of --tasks with each seed
and learning rate, and prints median, least and greatest score of both at their best rate. Stopped
at any moment and started again it goes on. Everything lies in --workdir, the table in table.md.
"""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

from absl import app, flags

from sparse_mixer_tf.experiments import results
from sparse_mixer_tf.experiments.results import Group
from sparse_mixer_tf.training.workdir import VOCABULARY, write_atomically

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of all runs.", required=True)
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Prepared TFDS data.")
_PRETRAIN = flags.DEFINE_string("pretrain", None, "Flags of the pre-training.", required=True)
_FINETUNE = flags.DEFINE_string(
    "finetune", "--flagfile=configs/finetune_glue.flags", "Flags of every fine-tuning."
)
_TASKS = flags.DEFINE_list(
    "tasks",
    ["glue/sst2:2000:10", "glue/sst2::1", "glue/mrpc::3", "glue/stsb::3"],
    "Tasks as name:first examples:epochs; no number of examples means all.",
)
_SEEDS = flags.DEFINE_string("seeds", "1,2,3", "Seeds of every fine-tuning.")
_RATES = flags.DEFINE_string("learning_rates", "3e-4,1e-3", "Rates, the best of which counts.")
ARMS = ("pretrained", "scratch")


def main(_) -> int:
    folder = Path(_WORKDIR.value)
    places = [f"--data_dir={_DATA_DIR.value}"] if _DATA_DIR.value else []
    pretrained = folder / "pretrained_model"
    _train([*shlex.split(_PRETRAIN.value), *places, f"--workdir={pretrained}"])
    for task in _TASKS.value:
        for arm in ARMS:
            runs = folder / _slug(task) / arm
            # Written when the last run of a sweep is complete.
            if not (runs / "sweep.json").exists():
                start = _from_pretrained if arm == "pretrained" else _from_scratch
                _train([*start(pretrained), *_finetuning(task), *places, f"--workdir={runs}"])
    table = _table(folder)
    write_atomically(folder / "table.md", table)
    print(table)
    return 0


def _train(arguments: list[str]) -> None:
    """Runs the trainer; ends this process with its exit code if it does not end well."""
    print("\n" + shlex.join(["python", "-m", "sparse_mixer_tf.train", *arguments]), flush=True)
    code = subprocess.run([sys.executable, "-m", "sparse_mixer_tf.train", *arguments]).returncode
    if code:
        sys.stdout.flush()
        os._exit(code)


def _from_pretrained(pretrained: Path) -> list[str]:
    return [f"--init_checkpoint={pretrained}"]


def _from_scratch(pretrained: Path) -> list[str]:
    """The same model, vocabulary and sequence length, without the weights."""
    settings = json.loads((pretrained / "settings.json").read_text())
    model = {name: value for name, value in settings["model"].items() if value is not None}
    length = settings["data"]["max_seq_length"]
    return [
        *(f"--{name}={value}" for name, value in model.items()),
        f"--max_seq_length={length}",
        f"--vocab_filepath={pretrained / VOCABULARY}",
    ]


def _finetuning(task: str) -> list[str]:
    name, examples, epochs = task.split(":")
    return [
        *shlex.split(_FINETUNE.value),
        f"--dataset={name}",
        f"--train_epochs={epochs}",
        f"--seeds={_SEEDS.value}",
        f"--learning_rates={_RATES.value}",
        *([f"--max_train_examples={examples}"] if examples else []),
    ]


def _table(folder: Path) -> str:
    lines = [
        "| task | training examples | pre-trained | from scratch | difference | beyond the spread |"
        " minutes |",
        "|---|---|---|---|---|---|---|",
    ]
    for task in _TASKS.value:
        name, examples, epochs = task.split(":")
        groups = {arm: results.groups(folder / _slug(task) / arm) for arm in ARMS}
        helped, plain = (groups[arm][0] for arm in ARMS)
        minutes = sum(_minutes(g) for arm in ARMS for g in groups[arm])
        lines.append(
            f"| {name} | {examples or 'all'}, {epochs} epochs | {_cell(helped)} | {_cell(plain)} | "
            f"{100 * (helped.score - plain.score):+.1f} | "
            f"{'yes' if helped.spread[0] > plain.spread[1] else 'no'} | {minutes:.0f} |"
        )
    seeds = len(_SEEDS.value.split(","))
    lines.append(
        f"\nScore at the best evaluation, median (least to greatest) of {seeds} seeds, at the "
        "better learning rate of each. Beyond the spread: the least of the pre-trained runs is "
        "greater than the greatest from scratch."
    )
    return "\n".join(lines) + "\n"


def _cell(group: Group) -> str:
    least, greatest = (100 * value for value in group.spread)
    return f"{100 * group.score:.1f} ({least:.1f} to {greatest:.1f}), lr {group.learning_rate:g}"


def _minutes(group: Group) -> float:
    """Time spent training, evaluations not counted."""
    seconds = 0.0
    for result in group.results:
        for line in (result.workdir / "metrics.jsonl").read_text().splitlines()[::-1]:
            record = json.loads(line)
            if "seconds" in record:
                seconds += record["seconds"]
                break
    return seconds / 60


def _slug(task: str) -> str:
    return task.replace("/", "_").replace(":", "-").strip("-")


if __name__ == "__main__":
    app.run(main)
