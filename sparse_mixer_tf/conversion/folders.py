"""Folders that are whole or not there."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sparse_mixer_tf.settings import SettingsError


def check_free(path: str | Path) -> None:
    """Checks that a folder does not exist yet or is empty.

    Raises:
        SettingsError: something is there.
    """
    path = Path(path)
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise SettingsError(f"--output={path} is not empty; give a new or an empty folder")


@contextmanager
def new_folder(path: str | Path) -> Iterator[Path]:
    """A folder to write into, which gets its name once all of it is written.

    Raises:
        SettingsError: something is there already, or it cannot be written.
    """
    check_free(path)
    final = Path(path).resolve()
    temporary = final.with_name(f".{final.name}.writing")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        yield temporary
        os.rename(temporary, final)
    except OSError as error:
        raise SettingsError(f"--output={path}: {error.strerror or error}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
