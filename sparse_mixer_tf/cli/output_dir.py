"""The folder that a program writes: whole under its name, or not there."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from sparse_mixer_tf.settings import SettingsError


def check_output(output: Path, replaces: str | None = None) -> None:
    """Checks that a program may write here: over nothing, or over what it wrote earlier.

    Args:
        output: the folder of the flag `--output`.
        replaces: a file that makes a folder one that may be replaced; None where none may.

    Raises:
        SettingsError: the folder holds something else, or cannot be written.
    """
    if output.exists() and not output.is_dir():
        raise SettingsError(f"--output={output} is a file; give a folder")
    is_earlier = replaces is not None and (output / replaces).is_file()
    if output.exists() and any(output.iterdir()) and not is_earlier:
        other = f", or one with {replaces}, to replace it" if replaces else ""
        raise SettingsError(f"--output={output} is not empty; give a new or an empty folder{other}")
    parent = next(place for place in output.absolute().parents if place.exists())
    if not os.access(parent, os.W_OK):
        raise SettingsError(f"--output={output}: {parent} cannot be written; give another folder")


@contextlib.contextmanager
def unfinished(output: Path) -> Iterator[Path]:
    """A folder to write to, which gets its name at the end of the block, if it is reached.

    What had the name before keeps it until then, and is gone after.

    Raises:
        SettingsError: the folder cannot be written.
    """
    place = output.resolve()
    writing = place.with_name(f".{place.name}.writing")
    earlier = place.with_name(f".{place.name}.replaced")
    for leftover in (writing, earlier):
        shutil.rmtree(leftover, ignore_errors=True)
    try:
        writing.mkdir(parents=True)
        yield writing
        if place.exists():
            os.rename(place, earlier)
        os.rename(writing, place)
    except OSError as error:
        raise SettingsError(f"--output={output}: {error.strerror or error}") from None
    finally:
        if earlier.exists() and not place.exists():
            os.rename(earlier, place)
        for leftover in (writing, earlier):
            shutil.rmtree(leftover, ignore_errors=True)
