"""A run that goes on: what it keeps, and what may be asked of it anew."""

import dataclasses
from pathlib import Path

from sparse_mixer_tf.settings import ModelSettings, SettingsError, TrainingSettings
from sparse_mixer_tf.training import workdir as workdirs


def as_it_began(
    before: dict, training: TrainingSettings, model: ModelSettings
) -> tuple[TrainingSettings, ModelSettings]:
    """The settings, with what `auto` came to when the run began."""
    if training.precision == "auto":
        training = dataclasses.replace(training, precision=before["training"]["precision"])
    if model.mixing_implementation == "auto":
        way = before["model"].get("mixing_implementation", "auto")
        model = dataclasses.replace(model, mixing_implementation=way)
    return training, model


def is_extended(workdir: Path, before: dict, asked: dict, training: TrainingSettings) -> bool:
    """Whether the run in the folder is now asked for more steps.

    Args:
        before: what it was made of; completed by what is newer than it.

    Raises:
        SettingsError: something that changes the result differs.
    """
    if "jit_compile" not in before:
        raise SettingsError(
            f"{workdir / workdirs.SETTINGS} does not say how the run was compiled, so it is none "
            f"to continue; start a new one from its weights with --init_checkpoint={workdir}"
        )
    # A setting that is newer than the run has its default.
    before["model"] = ModelSettings.from_json(before["model"]).to_json()
    extended = before["training"] != asked["training"] and training.extends(
        TrainingSettings.from_json(before["training"])
    )
    before |= {"training": asked["training"]} if extended else {}
    workdirs.check_same(workdir, {name: before.get(name) for name in asked}, asked)
    return extended
