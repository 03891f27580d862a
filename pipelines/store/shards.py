"""The shards of a split: each is opened when it is asked for, and few of them are open at once."""

import collections
import hashlib
import tempfile
import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipelines import filesystem
from pipelines.errors import InputError
from pipelines.store import format

# Examples are drawn from so many shards at a time: with these 1.1 billion tokens are shuffled well.
GROUP = 16
# A batch, or those that are made at the same time, may lie on both sides of a group's end.
_MOST_OPEN = 2 * GROUP
_FETCHED_AT_ONCE = 8
_BLOCK = 8 * 2**20


class Shard(NamedTuple):
    """Memory-mapped arrays of one shard.

    Attributes:
        tokens: uint16 or uint32 [tokens].
        sentence_ends: uint32 [sentences]; exclusive ends, as positions in `tokens`.
        document_ends: uint32 [documents]; likewise.
    """

    tokens: np.ndarray
    sentence_ends: np.ndarray
    document_ends: np.ndarray


class Shards(Sequence):
    """Opens the shards of a split.

    A shard that lies elsewhere is copied to this machine whole and checked on the way. Its copies
    have no names: they are gone with their last reader, however it ends.

    Attributes:
        num_tokens, num_documents: int64 [shards], known without opening any.
    """

    def __init__(
        self,
        folder: str | Path,
        split: str,
        entries: Mapping[str, dict],
        vocab_size: int,
        scratch: Path | None = None,
    ):
        """Opens nothing yet.

        Args:
            folder: of the store.
            split: "train" or "validation".
            entries: `files` of its manifest.
            vocab_size: number of pieces, which gives the dtype of tokens.
            scratch: where copies of shards grow; the system's folder for such files if None.
        """
        ending = f".{format.ARRAYS[0]}"
        names = [name.removesuffix(ending) for name in entries if name.endswith(ending)]
        names = [n.removeprefix(f"{split}/") for n in names if n.startswith(f"{split}/")]
        self._names, self._folder, self._split = names, folder, split
        self._entries, self._vocab_size, self._scratch = entries, vocab_size, scratch
        self._open = collections.OrderedDict()
        self._lock = threading.Lock()
        self._opening = collections.defaultdict(threading.Lock)
        self.num_tokens = self._lengths("tokens")
        self.num_documents = self._lengths("document_ends")

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, number: int) -> Shard:
        """A shard; threads that want the same one open it once.

        Raises:
            InputError: it is damaged.
        """
        number = range(len(self))[number]
        if (shard := self._known(number)) is not None:
            return shard
        with self._opening[number]:
            if (shard := self._known(number)) is not None:
                return shard
            shard = Shard(*(self._array(number, array) for array in format.ARRAYS))
            with self._lock:
                self._open[number] = shard
                # Who still reads the oldest one keeps it alive until then.
                while len(self._open) > _MOST_OPEN:
                    self._open.popitem(last=False)
        return shard

    def several(self, numbers: Iterable[int]) -> list[Shard]:
        """Some shards, opened side by side."""
        with ThreadPoolExecutor(_FETCHED_AT_ONCE) as threads:
            return list(threads.map(self.__getitem__, numbers))

    def _known(self, number: int) -> Shard | None:
        with self._lock:
            if number in self._open:
                self._open.move_to_end(number)
            return self._open.get(number)

    def _lengths(self, array: str) -> np.ndarray:
        width = format.array_dtype(array, self._vocab_size).itemsize
        paths = (format.array_path(self._split, name, array) for name in self._names)
        return np.array([self._entries[path]["bytes"] // width for path in paths], np.int64)

    def _array(self, number: int, array: str) -> np.ndarray:
        name = format.array_path(self._split, self._names[number], array)
        path, entry = filesystem.join(self._folder, name), self._entries[name]
        dtype = format.array_dtype(array, self._vocab_size)
        if not filesystem.is_remote(path):
            check_size(path, entry)
            # A plain view: slicing np.memmap itself costs microseconds each time.
            return np.memmap(path, dtype, mode="r").view(np.ndarray)
        with tempfile.TemporaryFile(dir=self._scratch) as copy:
            _fetch(path, entry, copy)
            return np.memmap(copy, dtype, mode="r").view(np.ndarray)


def check_size(path: str | Path, entry: Mapping) -> None:
    """Raises InputError if an array does not have the bytes that the manifest gives it."""
    size = filesystem.state(path).size if filesystem.exists(path) else "no"
    if size != entry["bytes"]:
        raise damaged(path, f"has {size} bytes instead of {entry['bytes']}")


def damaged(path: str | Path, what: str) -> InputError:
    return InputError(f"{path} {what}: the token store is damaged; remove it and prepare it again")


def _fetch(path: str | Path, entry: Mapping, copy) -> None:
    digest = hashlib.sha256()
    try:
        with filesystem.open_binary(path) as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
                copy.write(block)
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}); is it still there, and this machine allowed"
            " to read it?"
        ) from None
    copy.flush()
    if digest.hexdigest() != entry["sha256"]:
        raise damaged(path, "does not have the checksum of the manifest")
