"""A corpus on disk: an array of ids a split, the vocabulary, a manifest; whole or not there."""

import hashlib
import os
import shutil
import socket
from pathlib import Path

import numpy as np

from pipelines import store_format, store_writer
from pipelines.errors import InputError
from pipelines.sources.running_text import SPLITS

VOCABULARY = "vocabulary"
# As for a token store: above this, reading every byte would delay each start by seconds.
_LARGEST_CHECKED_BYTES = 2**30


class CorpusWriter:
    """Writes a corpus into a temporary sibling of `path` and renames it when it is complete.

    with CorpusWriter(path, np.dtype("<u1")) as writer:
        writer.add("train", ids)
        writer.finish(model_bytes, {"source": "…"})
    """

    def __init__(self, path: Path, dtype: np.dtype):
        self._path, self._dtype = path, dtype
        path.parent.mkdir(parents=True, exist_ok=True)
        store_writer.remove_leftovers(path)
        # The name by which `remove_leftovers` knows what a dead process has left.
        name = f".{path.name}.partial-{socket.gethostname()}-{os.getpid()}"
        self._folder = path.parent / name
        self._folder.mkdir()
        self._streams = {split: open(self._folder / split, "wb") for split in SPLITS}  # noqa: SIM115
        self._digests = {split: hashlib.sha256() for split in SPLITS}

    def __enter__(self) -> "CorpusWriter":
        return self

    def __exit__(self, *_) -> None:
        for stream in self._streams.values():
            stream.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def add(self, split: str, ids: np.ndarray) -> None:
        """Appends ids to a split.

        Raises:
            InputError: an id does not fit the dtype.
        """
        most = np.iinfo(self._dtype).max
        if ids.size and ids.max() > most:
            raise InputError(
                f"the text has more than {most + 1:,} different symbols; use --tokenizer=byte"
            )
        data = ids.astype(self._dtype).tobytes()
        self._streams[split].write(data)
        self._digests[split].update(data)

    def finish(self, model_bytes: bytes, description: dict) -> None:
        """Completes the corpus.

        Args:
            model_bytes: the vocabulary.
            description: what the manifest tells beside lengths and checksums.
        """
        files = {}
        for split, stream in self._streams.items():
            files[split] = {"bytes": stream.tell(), "sha256": self._digests[split].hexdigest()}
            stream.flush()
            os.fsync(stream.fileno())
        checksums = [entry["sha256"] for entry in files.values()]
        with open(self._folder / VOCABULARY, "wb") as stream:
            stream.write(model_bytes)
            stream.flush()
            os.fsync(stream.fileno())
        digest = hashlib.sha256(model_bytes).hexdigest()
        files[VOCABULARY] = {"bytes": len(model_bytes), "sha256": digest}
        manifest = {
            "format_version": store_format.FORMAT_VERSION,
            **description,
            "dtype": self._dtype.str,
            "data_fingerprint": store_format.fingerprint(checksums),
            "files": files,
        }
        store_format.write_manifest(self._folder, manifest)
        store_format.sync_folder(self._folder)
        try:
            os.rename(self._folder, self._path)
        except OSError:
            # Another process finished the same corpus first: theirs holds the same ids.
            if not exists(self._path):
                raise
        store_format.sync_folder(self._path.parent)


def exists(path: Path) -> bool:
    return (path / store_format.MANIFEST).is_file()


def read(path: Path) -> tuple[dict, dict[str, np.ndarray], bytes]:
    """Opens and verifies a corpus.

    Returns:
        The manifest, the memory-mapped ids of each split, and the bytes of the vocabulary.

    Raises:
        InputError: there is none, or it is damaged.
    """
    manifest = store_format.read_manifest(path)
    files = manifest["files"]
    is_checked = sum(entry["bytes"] for entry in files.values()) <= _LARGEST_CHECKED_BYTES
    for name, entry in files.items():
        file = path / name
        is_whole = file.is_file() and file.stat().st_size == entry["bytes"]
        if is_whole and is_checked:
            is_whole = store_format.checksum(file) == entry["sha256"]
        if not is_whole:
            raise InputError(
                f"{file} does not have the length and checksum of its manifest: the prepared text "
                f"is damaged; remove {path}, it is then prepared again"
            )
    dtype = np.dtype(manifest["dtype"])
    splits = {split: _map(path / split, dtype) for split in SPLITS}
    return manifest, splits, (path / VOCABULARY).read_bytes()


def _map(path: Path, dtype: np.dtype) -> np.ndarray:
    if not path.stat().st_size:
        return np.zeros(0, dtype)
    return np.memmap(path, dtype, mode="r").view(np.ndarray)
