"""The token store: tokenised documents on disk, read in any order.

A store holds, for each split, shards of three flat little-endian arrays: `tokens` (uint16 up to
65,536 pieces, else uint32), `sentence_ends` and `document_ends` (uint32, as numbers of tokens since
the start of the shard), beside a manifest and the vocabulary. Nothing in it depends on a sequence
length, an objective or a seed.

Memory-mapped arrays rather than a file of records, because examples are slices of documents that
are cut anew for each sequence length: a slice of an array costs one page of the page cache, which
all processes share, and no decoding; a whole batch is gathered with a few vectorised calls; opening
a store reads its manifest and no shard, whatever its size. A store may lie on gs://: the shards
that examples come from are copied to this machine, a few at a time.
"""

from collections.abc import Mapping
from pathlib import Path

from pipelines import filesystem
from pipelines.errors import InputError
from pipelines.settings import SPLITS
from pipelines.store import format
from pipelines.store.shards import GROUP, Shards, check_size, damaged
from pipelines.tokenizers.sentencepiece_model import Vocabulary, load

# sha256 reads about 1 GB/s: above this, checking every byte would delay each start by seconds.
_LARGEST_CHECKED_BYTES = 2**30
_MOST_CHECKED_FILES = 2 * GROUP * len(format.ARRAYS)


class TokenStore:
    """An opened token store.

    Attributes:
        path: its folder.
        manifest: dict; source, settings, counts, bad records, fingerprints, checksums.
        vocabulary: the vocabulary it was tokenised with.
        splits: {"train": Shards, "validation": Shards}.
        checksums_verified: False where the store is too large to be read whole at each start.
    """

    def __init__(
        self,
        path: str | Path,
        manifest: dict,
        vocabulary: Vocabulary,
        splits: dict[str, Shards],
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
            path: its folder, which may lie on gs://.
            vocabulary: the vocabulary that the store must have been made with; any if None.
            scratch: where copies of shards from elsewhere go.

        Raises:
            InputError: no store, damaged, or made with another vocabulary.
        """
        path = filesystem.place(path)
        manifest = format.read_manifest(path)
        _refuse_other_vocabulary(path, manifest, vocabulary)
        checked = _verify(path, manifest["files"])
        own = load(filesystem.join(path, format.VOCABULARY))
        if filesystem.is_remote(path) and scratch is not None:
            filesystem.make_folder(scratch)
        splits = {
            split: Shards(path, split, manifest["files"], own.size, scratch) for split in SPLITS
        }
        return cls(path, manifest, own, splits, checked)


def _refuse_other_vocabulary(
    path: str | Path, manifest: dict, vocabulary: Vocabulary | None
) -> None:
    fingerprint = manifest["vocabulary_fingerprint"]
    if vocabulary is not None and vocabulary.fingerprint != fingerprint:
        raise InputError(
            f"{path} was tokenised with the vocabulary {fingerprint[:16]}, not with "
            f"{vocabulary.fingerprint[:16]} (--vocab_filepath); use "
            f"{filesystem.join(path, format.VOCABULARY)}, or prepare the data again in another "
            "folder"
        )


def _verify(path: str | Path, entries: Mapping[str, dict]) -> bool:
    """Checks a small store; of others each shard is checked when it is opened.

    Returns:
        Whether checksums were read.
    """
    if filesystem.is_remote(path) or len(entries) > _MOST_CHECKED_FILES + 1:
        return False
    for name, entry in entries.items():
        check_size(path / name, entry)
    if sum(entry["bytes"] for entry in entries.values()) > _LARGEST_CHECKED_BYTES:
        return False
    for name, entry in entries.items():
        if format.checksum(path / name) != entry["sha256"]:
            raise damaged(path / name, "does not have the checksum of the manifest")
    return True
