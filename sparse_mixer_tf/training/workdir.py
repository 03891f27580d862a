"""The folder of a run: what it was made of, and whether another start may continue it.

A run that goes on: what it keeps, and what may be asked of it anew.
"""

import dataclasses
import json
import os
from pathlib import Path

from sparse_mixer_tf.settings import ModelSettings, SettingsError, TrainingSettings
from sparse_mixer_tf.training.retry import with_retries

SETTINGS, FLAGS, VOCABULARY = "settings.json", "run.flags", "vocabulary/spm.model"
# What every run says of itself; more came with later versions.
_PARTS = {"model": dict, "training": dict, "data": dict, "vocabulary_fingerprint": str}
# Where data lie does not change the result; what they hold is in the fingerprints.
PLACES = ("data_dir", "cache_dir", "vocab_filepath", "max_bad_records")


def describe_changes(before: dict, now: dict) -> list[str]:
    """One line for each setting that differs, nested sections spelled out."""
    lines = []
    for name in sorted(set(before) | set(now)):
        old, new = before.get(name), now.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            lines += describe_changes(old, new)
        elif old != new:
            lines.append(f"{name} was {old}, now {new}")
    return lines


def read_settings(workdir: Path) -> dict | None:
    """Return the settings of the run in this folder; None if there is no run.

    Raises:
        SettingsError: if the folder holds something else, or the settings cannot be read.
    """
    path = Path(workdir) / SETTINGS
    if not path.exists():
        if Path(workdir).exists() and not _is_empty(Path(workdir)):
            raise SettingsError(
                f"--workdir={workdir} holds something other than a run; "
                "give a new or an empty folder"
            )
        return None
    try:
        settings = json.loads(with_retries(lambda: path.read_text("utf-8"), f"reading {path}"))
    except (OSError, ValueError, RecursionError) as error:
        raise SettingsError(f"{path} cannot be read ({error}); give another --workdir") from None
    for name, kind in _PARTS.items():
        if not isinstance(settings, dict) or not isinstance(settings.get(name), kind):
            raise SettingsError(f"{path} cannot be read (it has no {name}); give another --workdir")
    return settings


def settings_of_run(workdir: Path, flag: str = "workdir") -> dict:
    """Return the settings of the run in this folder, where there must be one.

    Args:
        workdir: the folder.
        flag: that names it.

    Raises:
        SettingsError: if there is no run, or the settings cannot be read.
    """
    if not (Path(workdir) / SETTINGS).is_file():
        what = "is not the workdir of a run" if Path(workdir).exists() else "does not exist"
        raise SettingsError(f"--{flag}={workdir} {what}")
    return read_settings(workdir)


def _is_empty(workdir: Path) -> bool:
    """Return whether a run may start here; the rest of a start that was killed does not count."""
    left = {FLAGS, FLAGS + ".writing", SETTINGS + ".writing"}
    return workdir.is_dir() and {path.name for path in workdir.iterdir()} <= left


def check_same(workdir: Path, before: dict, now: dict) -> None:
    """Refuses to continue a run whose result the new settings would change.

    Raises:
        SettingsError: listing every difference.
    """
    changes = describe_changes(before, now)
    if changes:
        raise SettingsError(
            f"--workdir={workdir} holds a run with other settings: {'; '.join(changes)}. "
            "Repeat its flags to continue it, or give another --workdir; there, "
            f"--fork_from={workdir}@STEP goes on from one of its checkpoints"
        )


def write_settings(workdir: Path, settings: dict, flag_lines: list[str]) -> None:
    """Starts the folder of a new run; the settings come last, since they make it one."""
    Path(workdir).mkdir(parents=True, exist_ok=True)
    write_atomically(Path(workdir) / FLAGS, "".join(line + "\n" for line in flag_lines))
    write_atomically(Path(workdir) / SETTINGS, json.dumps(settings, indent=1) + "\n")


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file that is either the old or the new one, whenever the process dies.

    Neither the file nor its temporary one is written through a link: a link that stands in their
    place, as in a folder that someone sent, is replaced.
    """
    temporary = path.with_name(path.name + ".writing")

    def write():
        temporary.unlink(missing_ok=True)
        with open(temporary, "xb") as file:
            file.write(content if isinstance(content, bytes) else content.encode("utf-8"))
        os.replace(temporary, path)

    with_retries(write, f"writing {path}")


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
    """Return whether the run in the folder is now asked for more steps.

    Args:
        before: what it was made of; completed by what is newer than it.

    Raises:
        SettingsError: something that changes the result differs.
    """
    if "jit_compile" not in before:
        raise SettingsError(
            f"{workdir / SETTINGS} does not say how the run was compiled, so it is none "
            f"to continue; start a new one from its weights with --init_checkpoint={workdir}"
        )
    # A setting that is newer than the run has its default.
    before["model"] = ModelSettings.from_json(before["model"]).to_json()
    extended = before["training"] != asked["training"] and training.extends(
        TrainingSettings.from_json(before["training"])
    )
    before |= {"training": asked["training"]} if extended else {}
    check_same(workdir, {name: before.get(name) for name in asked}, asked)
    return extended
