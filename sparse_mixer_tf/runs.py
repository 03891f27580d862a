"""Opening a run that was trained: its settings, its vocabulary, its best weights."""

from pathlib import Path

import keras

from pipelines import vocabulary
from pipelines.settings import DataSettings
from sparse_mixer_tf.settings import ModelSettings, SettingsError, TrainingSettings
from sparse_mixer_tf.tasks.pretraining import Pretraining
from sparse_mixer_tf.training import workdir as workdirs
from sparse_mixer_tf.training.checkpoint import Checkpoints, named

VOCABULARY = "vocabulary/spm.model"


def load_weights(workdir: str | Path, model: keras.Model, flag: str = "workdir") -> int:
    """Restores the best checkpoint of a run, the newest if none was scored; returns its step.

    Raises:
        SettingsError: if the folder holds no run or no checkpoint.
        CheckpointError: if the checkpoint is damaged or of another model.
    """
    if workdirs.read_settings(Path(workdir)) is None:
        raise SettingsError(f"--{flag}={workdir} is not the workdir of a run")
    source = Checkpoints(Path(workdir) / "checkpoints", named({"model": model.variables}))
    best = source.best()
    step = best["step"] if best else max(source.steps(), default=None)
    if step is None:
        raise SettingsError(f"--{flag}={workdir} has no checkpoint yet; train it first")
    source.restore(step)
    return step


def open_run(workdir: str | Path) -> tuple[Pretraining, dict, int]:
    """The task of a run with its best weights, its settings as written, and their step.

    Raises:
        SettingsError: if the folder holds no run or no checkpoint.
    """
    facts = workdirs.read_settings(Path(workdir))
    if facts is None:
        raise SettingsError(f"--workdir={workdir} is not the workdir of a run")
    task = Pretraining(
        ModelSettings.from_json(facts["model"]),
        TrainingSettings.from_json(facts["training"]),
        DataSettings(**facts["data"] | facts["places"]),
        vocabulary.load(Path(workdir) / VOCABULARY),
    )
    return task, facts, load_weights(workdir, task.model)
