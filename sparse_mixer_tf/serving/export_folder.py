"""The folder of an export: whole under its name, or not there."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from sparse_mixer_tf.settings import SettingsError

# What an export says of itself to programs; its presence is what makes a folder an export.
FACTS = "export.json"
PRESET, CARD = "keras_hub", "README.md"


def check_output(output: Path) -> None:
    """Checks that an export may be written here: over nothing, or over an earlier export.

    Raises:
        SettingsError: the folder holds something else, or cannot be written.
    """
    if output.exists() and not output.is_dir():
        raise SettingsError(f"--output={output} is a file; give a folder")
    if output.exists() and any(output.iterdir()) and not (output / FACTS).is_file():
        raise SettingsError(
            f"--output={output} holds something other than an export; give a new or an empty "
            "folder, or an earlier export to replace"
        )
    parent = next(place for place in output.absolute().parents if place.exists())
    if not os.access(parent, os.W_OK):
        raise SettingsError(f"--output={output}: {parent} cannot be written; give another folder")


@contextlib.contextmanager
def unfinished(output: Path) -> Iterator[Path]:
    """A folder to write to, which gets its name at the end of the block, if it is reached.

    An earlier export keeps its name until then, and is gone after.
    """
    place = output.absolute()
    writing = place.parent / f".{place.name}.writing"
    earlier = place.parent / f".{place.name}.replaced"
    for leftover in (writing, earlier):
        shutil.rmtree(leftover, ignore_errors=True)
    try:
        writing.mkdir(parents=True)
        yield writing
        if place.exists():
            os.rename(place, earlier)
        os.rename(writing, place)
    finally:
        for leftover in (writing, earlier):
            shutil.rmtree(leftover, ignore_errors=True)


def read_facts(export: Path) -> dict:
    """What an export says of itself.

    Raises:
        SettingsError: the folder holds no export.
    """
    try:
        return json.loads((export / FACTS).read_text("utf-8"))
    except (OSError, ValueError):
        raise SettingsError(
            f"--export={export} holds no export; `python -m sparse_mixer_tf.export "
            "--workdir=RUN --output=DIR` writes one"
        ) from None
