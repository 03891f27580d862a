"""The folder of a run: what it was made of, and whether another start may continue it."""

import json
import os
from pathlib import Path

from sparse_mixer_tf.settings import SettingsError
from sparse_mixer_tf.training.retries import with_retries

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
    """What the run in this folder was made of; None if there is no run.

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
    """What the run in this folder was made of, where there must be one.

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
    """Whether a run may start here; what a start that was killed at once left does not count."""
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
    """Writes a file that is either the old or the new one, whenever the process dies."""
    temporary = path.with_name(path.name + ".writing")

    def write():
        temporary.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        os.replace(temporary, path)

    with_retries(write, f"writing {path}")
