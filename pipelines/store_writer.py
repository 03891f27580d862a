"""Writes a token store: streaming, in bounded memory, and whole or not at all."""

import dataclasses
import hashlib
import os
import shutil
import socket
from pathlib import Path

import numpy as np

from pipelines import store_format
from pipelines.vocabulary import Vocabulary


class StoreWriter:
    """Writes documents into a temporary sibling of `path` and renames it when it is complete.

    The manifest is written after every array has reached the disk, and the rename comes last: a
    process that is killed at any instant leaves no folder that passes for a store, and what it
    leaves is removed at the next start on the same machine.

        with StoreWriter(path, vocabulary) as writer:
            writer.add("train", tokens, sentence_lengths, document_lengths)
            writer.finish({"source": "…"})
    """

    def __init__(
        self,
        path: Path,
        vocabulary: Vocabulary,
        tokens_per_shard: int = store_format.TOKENS_PER_SHARD,
    ):
        self._path = path
        self._vocabulary = vocabulary
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(path)
        self._folder = path.parent / f"{_partial_prefix(path)}{os.getpid()}"
        self._splits = {}
        for split in store_format.SPLITS:
            (self._folder / split).mkdir(parents=True)
            self._splits[split] = _SplitWriter(
                self._folder, split, vocabulary.size, tokens_per_shard
            )
        self._write_vocabulary()

    def __enter__(self) -> "StoreWriter":
        return self

    def __exit__(self, *_) -> None:
        for split in self._splits.values():
            split.close()
        shutil.rmtree(self._folder, ignore_errors=True)

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
        self._splits[split].add(tokens, sentence_lengths, document_lengths)

    def finish(self, description: dict) -> None:
        """Completes the store.

        Args:
            description: what the manifest tells beside counts, fingerprints and checksums.
        """
        files = {}
        for split in self._splits.values():
            split.close()
            files.update(split.files)
        arrays = [entry["sha256"] for entry in files.values()]
        files[store_format.VOCABULARY] = {
            "bytes": len(self._vocabulary.model_bytes),
            "sha256": self._vocabulary.fingerprint,
        }
        manifest = {
            "format_version": store_format.FORMAT_VERSION,
            **description,
            "counts": {n: dataclasses.asdict(s.counts) for n, s in self._splits.items()},
            "vocabulary_size": self._vocabulary.size,
            "vocabulary_fingerprint": self._vocabulary.fingerprint,
            "data_fingerprint": store_format.fingerprint(arrays),
            "files": files,
        }
        for folder in (*(self._folder / name for name in self._splits), self._folder):
            store_format.sync_folder(folder)
        store_format.write_manifest(self._folder, manifest)
        store_format.sync_folder(self._folder)
        try:
            os.rename(self._folder, self._path)
        except OSError:
            # Another process finished the same store first: theirs holds the same bytes.
            if not (self._path / store_format.MANIFEST).exists():
                raise
        store_format.sync_folder(self._path.parent)

    def _write_vocabulary(self) -> None:
        path = self._folder / store_format.VOCABULARY
        path.parent.mkdir()
        with open(path, "wb") as stream:
            stream.write(self._vocabulary.model_bytes)
            stream.flush()
            os.fsync(stream.fileno())
        store_format.sync_folder(path.parent)


@dataclasses.dataclass
class Counts:
    documents: int = 0
    sentences: int = 0
    tokens: int = 0


class _SplitWriter:
    """Appends the arrays of one split, a shard at a time, and checksums what it writes."""

    def __init__(self, folder: Path, split: str, vocab_size: int, tokens_per_shard: int):
        self.counts = Counts()
        self.files = {}
        self._folder, self._split, self._vocab_size = folder, split, vocab_size
        self._tokens_per_shard = tokens_per_shard
        self._shard = -1
        self._open = {}

    def add(self, tokens, sentence_lengths, document_lengths) -> None:
        if not self._open or self._tokens_in_shard >= self._tokens_per_shard:
            self._start_shard()
        base = self._tokens_in_shard
        self._append("tokens", tokens)
        self._append("sentence_ends", np.cumsum(sentence_lengths) + base)
        self._append("document_ends", np.cumsum(document_lengths) + base)
        self._tokens_in_shard += len(tokens)
        self.counts.documents += len(document_lengths)
        self.counts.sentences += len(sentence_lengths)
        self.counts.tokens += len(tokens)

    def close(self) -> None:
        for name, (stream, digest) in self._open.items():
            stream.flush()
            os.fsync(stream.fileno())
            self.files[name] = {"bytes": stream.tell(), "sha256": digest.hexdigest()}
            stream.close()
        self._open = {}

    def _start_shard(self) -> None:
        self.close()
        self._shard += 1
        self._tokens_in_shard = 0
        for array in store_format.ARRAYS:
            name = store_format.array_path(self._split, self._shard, array)
            self._open[name] = open(self._folder / name, "wb"), hashlib.sha256()  # noqa: SIM115

    def _append(self, array: str, values: np.ndarray) -> None:
        stream, digest = self._open[store_format.array_path(self._split, self._shard, array)]
        data = values.astype(store_format.array_dtype(array, self._vocab_size)).tobytes()
        stream.write(data)
        digest.update(data)


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
