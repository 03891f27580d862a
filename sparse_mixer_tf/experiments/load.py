"""Opening a run that was trained: its settings, its vocabulary, its best weights."""

import textwrap
from collections.abc import Callable
from pathlib import Path

import keras

from pipelines.settings import DataSettings
from pipelines.tokenizers import sentencepiece_model
from sparse_mixer_tf.settings import ModelSettings, SettingsError, TrainingSettings
from sparse_mixer_tf.tasks import TASKS
from sparse_mixer_tf.tasks.base import Task
from sparse_mixer_tf.training import workdir as workdirs
from sparse_mixer_tf.training.checkpoint import CheckpointError, Checkpoints, named
from sparse_mixer_tf.training.workdir import VOCABULARY


def load_weights(workdir: str | Path, model: keras.Model, flag: str = "workdir") -> int:
    """Restores the best checkpoint of a run, the newest if none was scored; returns its step.

    Raises:
        SettingsError: if the folder holds no run or no checkpoint.
        CheckpointError: if the checkpoint is damaged or of another model.
    """
    source = Checkpoints(_checkpoints(workdir, flag), named({"model": model.weights}))
    step = _best_step(source, workdir, flag)
    source.restore(step)
    return step


def start_from(
    workdir: str | Path, model: keras.Model, whole: Callable = lambda variable: variable
) -> list[str]:
    """Copies the weights that a model shares with the best checkpoint of another run.

    The encoder and its pooler must all be there. The heads of pre-training are restored where there
    are any; that of a classifier always starts afresh.

    Args:
        whole: gives for a weight what stands for all its parts, where experts are apart.

    Returns:
        Lines that say of every weight where it comes from.

    Raises:
        SettingsError: if the folder holds no run or no checkpoint, or its encoder is another one.
    """
    source = Checkpoints(_checkpoints(workdir, "init_checkpoint"), {})
    step = _best_step(source, workdir, "init_checkpoint")
    saved = {n: a for n, a in source.arrays(step).items() if n.startswith("model/")}
    ours = named({"model": [whole(v) for v in model.weights]})
    encoder = named({"model": model.backbone.weights})
    for name in sorted(encoder):
        there, here = (saved[name].shape if name in saved else None), tuple(ours[name].shape)
        if there != here:
            raise SettingsError(
                f"--init_checkpoint={workdir}: {name} has shape {there} there and {here} here; "
                "leave out --architecture, sizes and --max_seq_length to take the checkpoint's"
            )
    restored = set(encoder)
    if workdirs.read_settings(Path(workdir))["training"].get("task") == "pretrain":
        restored = set(ours) & set(saved)
    for name in restored:
        ours[name].assign(saved[name])
    return [
        f"weights of step {step:,} of {workdir}",
        _named("restored", restored),
        _named("fresh", set(ours) - restored),
        _named("not used", set(saved) - restored),
    ]


def fork(
    place: str, variables: dict, words: sentencepiece_model.Vocabulary, train_steps: int
) -> dict:
    """Restores a checkpoint of another run with everything it holds, for a new run to go on from.

    Args:
        place: `WORKDIR@STEP`.
        variables: everything that a checkpoint of the new run holds.

    Returns:
        The checkpoint's manifest.

    Raises:
        SettingsError: there is no such checkpoint, or it is of another model or vocabulary.
    """
    workdir, _, step = place.rpartition("@")
    if not workdir or not step.isdigit():
        raise SettingsError(f"--fork_from={place} is not of the form WORKDIR@STEP, as runs/a@1000")
    source = Checkpoints(_checkpoints(workdir, "fork_from"), variables)
    if int(step) not in source.steps():
        there = ", ".join(map(str, source.steps())) or "none"
        raise SettingsError(
            f"--fork_from={place}: {workdir} has checkpoints of these steps: {there}"
        )
    if int(step) >= train_steps:
        raise SettingsError(
            f"--fork_from={place} leaves no step of --train_steps={train_steps}; give more"
        )
    check_vocabulary(workdir, words, "fork_from")
    try:
        return source.restore(int(step))
    except CheckpointError as error:
        raise SettingsError(f"--fork_from={place}: {error}; its sizes must be the same") from None


def check_vocabulary(
    workdir: str | Path, words: sentencepiece_model.Vocabulary, flag: str = "init_checkpoint"
) -> None:
    """Checks that a run was trained with this vocabulary.

    Raises:
        SettingsError: if it was another, whose ids mean other pieces.
    """
    theirs = workdirs.read_settings(Path(workdir))["vocabulary_fingerprint"]
    if theirs != words.fingerprint:
        raise SettingsError(
            f"--{flag}={workdir} was trained with vocabulary {theirs[:12]}, not with "
            f"{words.fingerprint[:12]}; --vocab_filepath={Path(workdir) / VOCABULARY} is its own"
        )


def open_run(workdir: str | Path) -> tuple[Task, dict, int]:
    """The task of a run with its best weights, its settings as written, and their step.

    Raises:
        SettingsError: if the folder holds no run, no checkpoint, or a vocabulary not its own.
    """
    facts = workdirs.settings_of_run(Path(workdir))
    training = TrainingSettings.from_json(facts["training"])
    try:
        data = DataSettings(**facts["data"] | facts.get("places", {}))
    except TypeError as error:
        raise SettingsError(
            f"{Path(workdir) / workdirs.SETTINGS} has no settings of data ({error}); copy the "
            "run's own back"
        ) from None
    task = TASKS[training.task](ModelSettings.from_json(facts["model"]), training, data)
    if not facts.get("heads", True):
        raise SettingsError(
            f"--workdir={workdir} was converted from an encoder without heads; start a run from it "
            f"with --init_checkpoint={workdir}"
        )
    words = task.read_vocabulary(Path(workdir) / task.vocabulary_file)
    if words.fingerprint != facts["vocabulary_fingerprint"]:
        raise SettingsError(
            f"{Path(workdir) / task.vocabulary_file} is not what the run was trained with: its "
            f"fingerprint is {words.fingerprint[:12]}, not {facts['vocabulary_fingerprint'][:12]}; "
            "copy the run's own vocabulary back"
        )
    task.restore(words, facts)
    task.build()
    step = load_weights(workdir, task.model)
    task.static_choices(step)
    return task, facts, step


def _checkpoints(workdir: str | Path, flag: str) -> Path:
    workdirs.settings_of_run(Path(workdir), flag)
    return Path(workdir) / "checkpoints"


def _best_step(source: Checkpoints, workdir: str | Path, flag: str) -> int:
    step = source.best_step()
    if step is None:
        raise SettingsError(f"--{flag}={workdir} has no checkpoint yet; train it first")
    return step


def _named(what: str, names: set[str]) -> str:
    listed = ", ".join(sorted(name.removeprefix("model/") for name in names)) or "none"
    return textwrap.fill(
        f"{what} ({len(names)}): {listed}",
        width=100,
        initial_indent="  ",
        subsequent_indent="    ",
        break_on_hyphens=False,
    )
