"""The token store: tokenised documents on disk, read in any order.

A store holds, for each split, shards of three flat little-endian arrays: `tokens` (uint16 up to
65,536 pieces, else uint32), `sentence_ends` and `document_ends` (uint32, as numbers of tokens since
the start of the shard), beside a manifest and the vocabulary. Nothing in it depends on a sequence
length, an objective or a seed.

Memory-mapped arrays rather than a file of records, because examples are slices of documents that
are cut anew for each sequence length: a slice of an array costs one page of the page cache, which
all processes share, and no decoding; a whole batch is gathered with a few vectorised calls; opening
a store costs the same at any size. A store is read from a file system that can be mapped; raw text
may lie elsewhere.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipelines import store_format
from pipelines.errors import InputError
from pipelines.vocabulary import Vocabulary, load

# sha256 reads about 1 GB/s: above this, checking every byte would delay each start by seconds.
_LARGEST_CHECKED_BYTES = 2**30


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


class TokenStore:
    """An opened token store.

    Attributes:
        path: its folder.
        manifest: dict; source, settings, counts, bad records, fingerprints, checksums.
        vocabulary: the vocabulary it was tokenised with.
        splits: {"train": tuple of Shard, "validation": tuple of Shard}.
        checksums_verified: False where the store is too large to be read whole at each start.
    """

    def __init__(
        self,
        path: Path,
        manifest: dict,
        vocabulary: Vocabulary,
        splits: dict[str, tuple[Shard, ...]],
        checksums_verified: bool,
    ):
        self.path = path
        self.manifest = manifest
        self.vocabulary = vocabulary
        self.splits = splits
        self.checksums_verified = checksums_verified

    @property
    def data_fingerprint(self) -> str:
        return self.manifest["data_fingerprint"]

    @classmethod
    def open(
        cls, path: str | Path, vocabulary: Vocabulary | None = None, scratch: Path | None = None
    ) -> "TokenStore":
        """Opens and verifies a store.

        Args:
            path: its folder.
            vocabulary: the vocabulary that the store must have been made with; any if None.

        Raises:
            InputError: no store, damaged, or made with another vocabulary.
        """
        path = Path(path)
        manifest = store_format.read_manifest(path)
        _refuse_other_vocabulary(path, manifest, vocabulary)
        checked = _verify(path, manifest)
        own = load(path / store_format.VOCABULARY)
        splits = {split: _map_split(path, manifest, split) for split in store_format.SPLITS}
        return cls(path, manifest, own, splits, checked)


def _refuse_other_vocabulary(path: Path, manifest: dict, vocabulary: Vocabulary | None) -> None:
    fingerprint = manifest["vocabulary_fingerprint"]
    if vocabulary is not None and vocabulary.fingerprint != fingerprint:
        raise InputError(
            f"{path} was tokenised with the vocabulary {fingerprint[:16]}, not with "
            f"{vocabulary.fingerprint[:16]} (--vocab_filepath); use "
            f"{path / store_format.VOCABULARY}, or prepare the data again in another folder"
        )


def _verify(path: Path, manifest: dict) -> bool:
    """Checks sizes, and checksums unless the store is large; says whether checksums were read."""
    files = manifest["files"]
    for name, entry in files.items():
        size = (path / name).stat().st_size if (path / name).exists() else "no"
        if size != entry["bytes"]:
            raise InputError(
                f"{path / name} has {size} bytes instead of {entry['bytes']}: the token store is "
                "damaged; remove it and prepare it again"
            )
    if sum(entry["bytes"] for entry in files.values()) > _LARGEST_CHECKED_BYTES:
        return False
    for name, entry in files.items():
        if store_format.checksum(path / name) != entry["sha256"]:
            raise InputError(
                f"{path / name} does not have the checksum of the manifest: the token store is "
                "damaged; remove it and prepare it again"
            )
    return True


def _map_split(path: Path, manifest: dict, split: str) -> tuple[Shard, ...]:
    ending = f".{store_format.ARRAYS[0]}"
    names = [n.removesuffix(ending) for n in manifest["files"] if n.endswith(ending)]
    names = [n.removeprefix(f"{split}/") for n in names if n.startswith(f"{split}/")]
    return tuple(
        Shard(*(_map(path, manifest, split, name, array) for array in store_format.ARRAYS))
        for name in names
    )


def _map(path: Path, manifest: dict, split: str, name: str, array: str) -> np.ndarray:
    dtype = store_format.array_dtype(array, manifest["vocabulary_size"])
    file = path / store_format.array_path(split, name, array)
    # A plain view: slicing np.memmap itself costs microseconds each time.
    return np.memmap(file, dtype, mode="r").view(np.ndarray)
