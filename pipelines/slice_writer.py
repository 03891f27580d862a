"""Writes the shards of one slice: each whole and under its name, or not there."""

import hashlib
import os
from pathlib import Path

import numpy as np

from pipelines import files, store_format
from pipelines.settings import SPLITS


class DamagedWrite(Exception):
    """What was written does not read back."""


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
        tokens_per_shard: int = store_format.TOKENS_PER_SHARD,
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
        name = store_format.shard_name(self._number, shard)
        self._open[split] = _Shard(self._scratch, split, name, self._vocab_size)

    def _close_shard(self, split: str) -> None:
        shard = self._open.pop(split)
        for name, (path, entry) in shard.close().items():
            target = files.join(self._folder, name)
            files.put(path, target)
            _read_back(target, entry["sha256"])
            self.files[name] = entry


class _Shard:
    """The arrays of a shard that is being written."""

    def __init__(self, scratch: Path, split: str, name: str, vocab_size: int):
        self.num_tokens = 0
        self._arrays = {}
        for array in store_format.ARRAYS:
            path = scratch / f"{split}-{name}.{array}"
            dtype = store_format.array_dtype(array, vocab_size)
            stream = open(path, "wb")  # noqa: SIM115
            place = store_format.array_path(split, name, array)
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
    if store_format.checksum(path) != sha256:
        raise DamagedWrite(f"{path} does not read back as it was written; is its disk failing?")
