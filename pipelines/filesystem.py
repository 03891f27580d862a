"""Files of this machine and of object stores by one set of names.

A path with `://` in it, as gs://bucket/texts, goes through `tf.io.gfile`; any other is a file of
this machine. In an object store folders need not be made, and a file appears when it is closed.
"""

import contextlib
import glob
import io
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

_BUFFER = 2**20


class State(NamedTuple):
    """Size in bytes and time of change in nanoseconds."""

    size: int
    changed: int


def is_remote(path: str | Path) -> bool:
    return "://" in str(path)


def place(path: str | Path) -> str | Path:
    """A path as the others of its kind are written: a Path here, a string elsewhere."""
    return str(path).rstrip("/") if is_remote(path) else Path(path).expanduser()


def join(folder: str | Path, *names: str) -> str | Path:
    if is_remote(folder):
        return "/".join((str(folder).rstrip("/"), *names))
    return Path(folder).joinpath(*names)


def open_binary(path: str | Path) -> BinaryIO:
    """A buffered reader.

    Raises:
        OSError: it cannot be read.
    """
    if not is_remote(path):
        return open(path, "rb")
    return io.BufferedReader(_RemoteReader(str(path)), _BUFFER)


def read_bytes(path: str | Path) -> bytes:
    with open_binary(path) as stream:
        return stream.read()


def state(path: str | Path) -> State:
    """Raises FileNotFoundError where there is no such file."""
    if not is_remote(path):
        found = os.stat(path)
        return State(found.st_size, found.st_mtime_ns)
    with _os_errors():
        found = _gfile().stat(str(path))
    return State(found.length, found.mtime_nsec)


def exists(path: str | Path) -> bool:
    if not is_remote(path):
        return os.path.exists(path)
    with _os_errors():
        return _gfile().exists(str(path))


def is_folder(path: str | Path) -> bool:
    if not is_remote(path):
        return os.path.isdir(path)
    with _os_errors():
        return _gfile().isdir(str(path))


def names(folder: str | Path) -> list[str]:
    """Return the names in a folder, sorted; none where there is no such folder."""
    if not is_folder(folder):
        return []
    if not is_remote(folder):
        return sorted(os.listdir(folder))
    with _os_errors():
        return sorted(name.rstrip("/") for name in _gfile().listdir(str(folder)))


def find(pattern: str | Path) -> list[str | Path]:
    """The files that a pattern matches, sorted."""
    if not is_remote(pattern):
        found = (Path(name) for name in sorted(glob.glob(str(pattern), recursive=True)))
        return [path for path in found if path.is_file()]
    with _os_errors():
        return sorted(path for path in _gfile().glob(str(pattern)) if not _gfile().isdir(path))


def make_folder(path: str | Path) -> None:
    if not is_remote(path):
        Path(path).mkdir(parents=True, exist_ok=True)


def put(source: Path, path: str | Path) -> None:
    """Moves a file of this machine to its place, where it is whole or not at all."""
    if not is_remote(path):
        os.replace(source, path)
        return
    partial = f"{path}.partial-{uuid.uuid4().hex}"
    with _os_errors():
        with open(source, "rb") as there, _gfile().GFile(partial, "wb") as here:
            shutil.copyfileobj(there, here, 16 * _BUFFER)
        _gfile().rename(partial, str(path), overwrite=True)
    source.unlink()


def write_whole(path: str | Path, content: bytes) -> None:
    """Writes a small file, whole or not at all."""
    if is_remote(path):
        # An object of an object store appears when it is complete.
        with _os_errors(), _gfile().GFile(str(path), "wb") as stream:
            stream.write(content)
        return
    path = Path(path)
    partial = path.with_name(f".{path.name}.partial-{uuid.uuid4().hex}")
    with open(partial, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(partial, path)


def remove(path: str | Path) -> None:
    """Removes a file; none there is none the worse."""
    if not is_remote(path):
        Path(path).unlink(missing_ok=True)
        return
    with contextlib.suppress(FileNotFoundError), _os_errors():
        _gfile().remove(str(path))


def remove_folder(path: str | Path) -> None:
    if not is_remote(path):
        shutil.rmtree(path, ignore_errors=True)
        return
    with contextlib.suppress(FileNotFoundError), _os_errors():
        _gfile().rmtree(str(path))


class _RemoteReader(io.RawIOBase):
    """The raw file of an object store that `io.BufferedReader` reads from."""

    def __init__(self, path: str):
        self._file = _gfile().GFile(path, "rb")
        with _os_errors():
            # The first byte tells whether there is anything to read.
            self._file.read(0)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        with _os_errors():
            content = self._file.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        with _os_errors():
            self._file.seek(offset, whence)
            return self._file.tell()

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


def _gfile():
    import tensorflow as tf

    return tf.io.gfile


@contextlib.contextmanager
def _os_errors() -> Iterator[None]:
    """TensorFlow's errors as those of the operating system."""
    import tensorflow as tf

    try:
        yield
    except tf.errors.NotFoundError as error:
        raise FileNotFoundError(2, error.message) from None
    except tf.errors.OpError as error:
        raise OSError(5, error.message) from None
