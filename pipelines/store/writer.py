"""Writes the shards of one slice: each whole and under its name, or not there.

Writes a token store on this machine: streaming, in bounded memory, and whole or not at all.
"""

import contextlib
import hashlib
import os
import shutil
import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from pipelines import filesystem
from pipelines.settings import SPLITS
from pipelines.store import format
from pipelines.tokenizers.sentencepiece_model import Vocabulary


class DamagedWrite(Exception):
    """An array that does not read back as it was written."""


class SliceWriter:
    """Appends documents to the shards of a slice, in both splits.

    An array grows in `scratch`, on this machine; when its shard is full it is put into its place in
    `folder` under its name and read back. The names of the shards follow from the slice, so writing
    it again, or twice at once, ends with the same files.

    Attributes:
        files: {name: {"bytes", "sha256"}} of the arrays that are in their places.
        counts: {split: {"documents", "sentences", "tokens"}}.
    """

    def __init__(
        self,
        folder: str | Path,
        scratch: Path,
        number: int,
        vocab_size: int,
        tokens_per_shard: int = format.TOKENS_PER_SHARD,
    ):
        """Args: folder: of the store, with a folder for each split; number: of the slice."""
        self.files = {}
        self.counts = {
            split: dict.fromkeys(("documents", "sentences", "tokens"), 0) for split in SPLITS
        }
        self._folder, self._scratch = folder, scratch
        self._number, self._vocab_size = number, vocab_size
        self._tokens_per_shard = tokens_per_shard
        self._shards = {}
        self._open = {}

    def add(
        self,
        split: str,
        tokens: np.ndarray,
        sentence_lengths: np.ndarray,
        document_lengths: np.ndarray,
    ) -> None:
        """Appends whole documents.

        Args:
            split: "train" or "validation".
            tokens: ids of all documents, one after the other.
            sentence_lengths: tokens of each sentence, at least one.
            document_lengths: tokens of each document, at least one.
        """
        if split not in self._open or self._open[split].num_tokens >= self._tokens_per_shard:
            self._start_shard(split)
        shard = self._open[split]
        base = shard.num_tokens
        shard.append("tokens", tokens)
        shard.append("sentence_ends", np.cumsum(sentence_lengths) + base)
        shard.append("document_ends", np.cumsum(document_lengths) + base)
        counts = self.counts[split]
        counts["documents"] += len(document_lengths)
        counts["sentences"] += len(sentence_lengths)
        counts["tokens"] += len(tokens)

    def close(self) -> None:
        """Puts the last shards into their places."""
        for split in tuple(self._open):
            self._close_shard(split)

    def abandon(self) -> None:
        """Closes what is open without keeping it."""
        for shard in self._open.values():
            shard.close()
        self._open = {}

    def _start_shard(self, split: str) -> None:
        if split in self._open:
            self._close_shard(split)
        shard = self._shards[split] = self._shards.get(split, -1) + 1
        name = format.shard_name(self._number, shard)
        self._open[split] = _Shard(self._scratch, split, name, self._vocab_size)

    def _close_shard(self, split: str) -> None:
        shard = self._open.pop(split)
        for name, (path, entry) in shard.close().items():
            target = filesystem.join(self._folder, name)
            filesystem.put(path, target)
            _read_back(target, entry["sha256"])
            self.files[name] = entry


class _Shard:
    """The arrays of a shard that is being written."""

    def __init__(self, scratch: Path, split: str, name: str, vocab_size: int):
        self.num_tokens = 0
        self._arrays = {}
        for array in format.ARRAYS:
            path = scratch / f"{split}-{name}.{array}"
            dtype = format.array_dtype(array, vocab_size)
            stream = open(path, "wb")  # noqa: SIM115
            place = format.array_path(split, name, array)
            self._arrays[array] = place, path, stream, hashlib.sha256(), dtype

    def append(self, array: str, values: np.ndarray) -> None:
        _, _, stream, digest, dtype = self._arrays[array]
        data = values.astype(dtype).tobytes()
        stream.write(data)
        digest.update(data)
        if array == "tokens":
            self.num_tokens += len(values)

    def close(self) -> dict[str, tuple[Path, dict]]:
        """Of each array, by its name in the store: where it lies until then, size and checksum."""
        closed = {}
        for place, path, stream, digest, _ in self._arrays.values():
            stream.flush()
            os.fsync(stream.fileno())
            closed[place] = path, {"bytes": stream.tell(), "sha256": digest.hexdigest()}
            stream.close()
        return closed


def _read_back(path: str | Path, sha256: str) -> None:
    if format.checksum(path) != sha256:
        raise DamagedWrite(f"{path} does not read back as it was written; is its disk failing?")


_FOLDERS = (*SPLITS, os.path.dirname(format.VOCABULARY))


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
        tokens_per_shard: int = format.TOKENS_PER_SHARD,
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
            format.sync_folder(self._folder / name)
        complete(self._folder, self._vocabulary, self._slices, description)
        format.sync_folder(self._folder)
        try:
            os.rename(self._folder, self._path)
        except OSError:
            # Another process finished the same store first: theirs holds the same bytes.
            if not format.is_store(self._path):
                raise
        format.sync_folder(self._path.parent)


def start_folder(folder: str | Path, vocabulary: Vocabulary) -> None:
    """Makes the folders of a store, and its vocabulary."""
    for name in _FOLDERS:
        filesystem.make_folder(filesystem.join(folder, name))
    filesystem.write_whole(filesystem.join(folder, format.VOCABULARY), vocabulary.model_bytes)


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
        "format_version": format.FORMAT_VERSION,
        **description,
        "counts": counts,
        "vocabulary_size": vocabulary.size,
        "vocabulary_fingerprint": vocabulary.fingerprint,
        "data_fingerprint": format.fingerprint(e["sha256"] for e in arrays.values()),
        "files": arrays | {format.VOCABULARY: words},
    }
    format.write_manifest(folder, manifest)
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
