"""Writes a token store on this machine: streaming, in bounded memory, and whole or not at all."""

import contextlib
import os
import shutil
import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pipelines import files, store_format
from pipelines.settings import SPLITS
from pipelines.slice_writer import SliceWriter
from pipelines.tokenizers.sentencepiece_model import Vocabulary

_FOLDERS = (*SPLITS, os.path.dirname(store_format.VOCABULARY))


class StoreWriter:
    """Writes slices into a temporary sibling of `path` and renames it when it is complete.

    The manifest is written after every array has reached the disk, and the rename comes last: a
    process that is killed at any instant leaves no folder that passes for a store, and what it
    leaves is removed at the next start on the same machine.

        with StoreWriter(path, vocabulary) as writer:
            with writer.slice(0) as shards:
                shards.add("train", tokens, sentence_lengths, document_lengths)
            writer.finish({"source": "…"})
    """

    def __init__(
        self,
        path: Path,
        vocabulary: Vocabulary,
        tokens_per_shard: int = store_format.TOKENS_PER_SHARD,
    ):
        self._path, self._vocabulary = path, vocabulary
        self._tokens_per_shard = tokens_per_shard
        self._slices = []
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(path)
        self._folder = path.parent / f"{_partial_prefix(path)}{os.getpid()}"
        self._scratch = self._folder / "scratch"
        start_folder(self._folder, vocabulary)
        self._scratch.mkdir()

    def __enter__(self) -> "StoreWriter":
        return self

    def __exit__(self, *_) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    @contextlib.contextmanager
    def slice(self, number: int) -> Iterator[SliceWriter]:
        """Writes a slice; slices come in the order that the store shall have."""
        shards = SliceWriter(
            self._folder, self._scratch, number, self._vocabulary.size, self._tokens_per_shard
        )
        try:
            yield shards
            shards.close()
        finally:
            shards.abandon()
        self._slices.append({"files": shards.files, "counts": shards.counts})

    def finish(self, description: dict) -> None:
        """Completes the store.

        Args:
            description: what the manifest tells beside counts, fingerprints and checksums.
        """
        self._scratch.rmdir()
        for name in _FOLDERS:
            store_format.sync_folder(self._folder / name)
        complete(self._folder, self._vocabulary, self._slices, description)
        store_format.sync_folder(self._folder)
        try:
            os.rename(self._folder, self._path)
        except OSError:
            # Another process finished the same store first: theirs holds the same bytes.
            if not store_format.is_store(self._path):
                raise
        store_format.sync_folder(self._path.parent)


def start_folder(folder: str | Path, vocabulary: Vocabulary) -> None:
    """Makes the folders of a store, and its vocabulary."""
    for name in _FOLDERS:
        files.make_folder(files.join(folder, name))
    files.write_whole(files.join(folder, store_format.VOCABULARY), vocabulary.model_bytes)


def complete(
    folder: str | Path,
    vocabulary: Vocabulary,
    slices: Sequence[Mapping[str, dict]],
    description: dict,
) -> dict:
    """Writes the manifest, which makes a folder of shards a store, and returns it.

    Args:
        folder: holds the arrays and the vocabulary.
        vocabulary: what they were tokenised with.
        slices: `files` and `counts` of `SliceWriter` of each slice, in order.
        description: what the manifest tells beside counts, fingerprints and checksums.
    """
    arrays = {
        name: entry
        for split in SPLITS
        for one in slices
        for name, entry in one["files"].items()
        if name.startswith(f"{split}/")
    }
    counts = {
        split: {
            unit: sum(one["counts"][split][unit] for one in slices)
            for unit in ("documents", "sentences", "tokens")
        }
        for split in SPLITS
    }
    words = {"bytes": len(vocabulary.model_bytes), "sha256": vocabulary.fingerprint}
    manifest = {
        "format_version": store_format.FORMAT_VERSION,
        **description,
        "counts": counts,
        "vocabulary_size": vocabulary.size,
        "vocabulary_fingerprint": vocabulary.fingerprint,
        "data_fingerprint": store_format.fingerprint(e["sha256"] for e in arrays.values()),
        "files": arrays | {store_format.VOCABULARY: words},
    }
    store_format.write_manifest(folder, manifest)
    return manifest


def remove_leftovers(path: Path) -> None:
    """Removes what dead processes of this machine left beside `path`."""
    prefix = _partial_prefix(path)
    for folder in path.parent.glob(f"{prefix}*"):
        process = folder.name.removeprefix(prefix)
        if process.isdigit() and (int(process) == os.getpid() or not _is_alive(int(process))):
            shutil.rmtree(folder, ignore_errors=True)


def _partial_prefix(path: Path) -> str:
    return f".{path.name}.partial-{socket.gethostname()}-"


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
