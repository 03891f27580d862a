"""A data set's name to its documents, divided into train and validation without overlap."""

import dataclasses
import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from pipelines.errors import InputError
from pipelines.settings import SPLITS, DataSettings
from pipelines.sources import text_files, work_units
from pipelines.sources.python_docs import PythonDocs
from pipelines.sources.records import BadRecords, Document
from pipelines.sources.tfds import TfdsText
from pipelines.sources.work_units import Slice

DIGEST_BYTES = 16


def content_hash(text: str) -> bytes:
    """16 bytes that name a text; copies that differ in white space alone share them."""
    return hashlib.blake2b(" ".join(text.split()).encode(), digest_size=DIGEST_BYTES).digest()


def hash_fraction(digest: bytes) -> float:
    """A content hash as a number in [0, 1)."""
    return int.from_bytes(digest[:8], "little") / 2**64


@dataclasses.dataclass
class Account:
    """Counts of a pass over some slices; those of several slices add up.

    Attributes:
        bad_records: what was skipped.
        read: documents that were read, by the source's own splits.
        kept: documents that came out, by split.
        duplicates_dropped: training documents left out, copies of validation ones.
        lowest_fraction: the least content hash, as a fraction, of documents divided by it.
    """

    bad_records: BadRecords
    read: dict[str, int] = dataclasses.field(default_factory=lambda: dict.fromkeys(SPLITS, 0))
    kept: dict[str, int] = dataclasses.field(default_factory=lambda: dict.fromkeys(SPLITS, 0))
    duplicates_dropped: int = 0
    lowest_fraction: float = 1.0

    def facts(self) -> dict:
        """For JSON; see `add`."""
        return {
            "bad_records": dict(self.bad_records.counts),
            "first_bad_record": self.bad_records.first,
            "read": self.read,
            "kept": self.kept,
            "duplicates_dropped": self.duplicates_dropped,
            "lowest_fraction": self.lowest_fraction,
        }

    def outcome(self) -> dict:
        """Return the counts that the manifest of a store keeps."""
        return {
            "bad_records": dict(self.bad_records.counts),
            "duplicates_dropped": self.duplicates_dropped,
        }

    def add(self, facts: Mapping) -> None:
        """Adds the `facts` of the slices behind these.

        Raises:
            InputError: too many records are bad together.
        """
        self.bad_records.add_counts(facts["bad_records"], facts["first_bad_record"])
        for split in SPLITS:
            self.read[split] += facts["read"][split]
            self.kept[split] += facts["kept"][split]
        self.duplicates_dropped += facts["duplicates_dropped"]
        self.lowest_fraction = min(self.lowest_fraction, facts["lowest_fraction"])


class Source:
    """The documents of a data set, by split.

    A source with a validation split of its own keeps it, and its training documents that are
    copies of validation ones are dropped. Any other source is divided by a hash of the content, so
    a document and its copies fall on one side, whatever the order and number of documents.

    Attributes:
        description: names the data and their version; part of what a token store is made from.
        account: what the last pass over the data has met.
    """

    def __init__(
        self,
        settings: DataSettings,
        slice_bytes: int | None = None,
        beam_options: str | None = None,
    ):
        """Finds the data; nothing is read yet.

        Args:
            settings: which data.
            slice_bytes: bytes of a slice; `slices.SLICE_BYTES` if None.
            beam_options: as in `TfdsText`.

        Raises:
            InputError: no such data, or not readable.
        """
        self._settings = settings
        size = slice_bytes or work_units.SLICE_BYTES
        if settings.dataset == "python_docs":
            self._reader = PythonDocs()
        elif text_files.is_path(settings.dataset):
            self._reader = text_files.TextFiles(settings.dataset, size, settings.text_field)
        else:
            self._reader = TfdsText(settings.dataset, settings.data_dir, size, beam_options)
        self.description = self._reader.description
        self._has_validation = "validation" in self._reader.splits
        self.account = self.new_account()

    @property
    def fraction_read(self) -> float:
        """Share of the data that the last pass has read, 0 to 1."""
        bound = self._settings.max_documents
        read = sum(self.account.read.values())
        return max(self._reader.fraction_read, read / bound if bound else 0.0)

    def start(self) -> Account:
        """Begins a pass and returns its account."""
        self.account, self._reader.fraction_read = self.new_account(), 0.0
        return self.account

    def new_account(self) -> Account:
        return Account(BadRecords(self._settings.max_bad_records))

    def slices(self) -> list[Slice]:
        """The slices in order: those of validation first, where the source has it."""
        splits = ("validation", "train") if self._has_validation else ("train",)
        return [
            Slice(split, number)
            for split in splits
            for number in range(self._reader.num_slices(split))
        ]

    def documents(self) -> Iterator[tuple[str, Document]]:
        """One pass: yields (split, document), validation first where the source has it.

        Raises:
            InputError: too many bad records, or one of the splits stays empty.
        """
        held_out = set()
        self.start()
        for item in self.slices():
            room = self.room(item, self.account.read)
            yield from self.read(item, self.account, held_out, room)
        self.refuse_empty(self.account)

    def room(self, item: Slice, read: Mapping[str, int]) -> int | None:
        """Documents that a slice may give where `read` ones came before it; None for any number."""
        most = self._settings.max_documents
        if most is None:
            return None
        if self._has_validation:
            held_out = max(1, round(most * self._settings.validation_fraction))
            most = held_out if item.split == "validation" else most - held_out
        return max(0, most - read[item.split])

    def read(
        self, item: Slice, account: Account, held_out: set[bytes], room: int | None = None
    ) -> Iterator[tuple[str, Document]]:
        """Yields (split, document) of a slice.

        Args:
            item: which slice.
            account: what is met is added to it.
            held_out: hashes of the documents of the source's own validation split: its slices put
                them in, those of its training split drop their copies.
            room: most documents that are read; all if None.

        Raises:
            InputError: too many bad records.
        """
        if room == 0:
            return
        fraction = self._settings.validation_fraction
        found = self._reader.documents(item.split, account.bad_records, item.number)
        for document in islice(found, room):
            account.read[item.split] += 1
            digest, split = content_hash(document.text), item.split
            if not self._has_validation:
                account.lowest_fraction = min(account.lowest_fraction, hash_fraction(digest))
                split = "validation" if hash_fraction(digest) < fraction else "train"
            elif split == "validation":
                held_out.add(digest)
            elif digest in held_out:
                account.duplicates_dropped += 1
                continue
            account.kept[split] += 1
            yield split, document

    def count(self, item: Slice) -> int:
        """Documents of a slice, as far as `max_documents` may want to know.

        Bad records are counted where the slice is read for its documents, so none is too many here.
        """
        found = self._reader.documents(item.split, BadRecords(2**62), item.number)
        return sum(1 for _ in islice(found, self._settings.max_documents))

    def refuse_empty(self, account: Account) -> None:
        """Raises InputError if one of the splits has stayed empty in all slices together."""
        for split in SPLITS:
            if not account.kept[split]:
                self._refuse_empty(split, account)

    def _refuse_empty(self, split: str, account: Account) -> None:
        name = f"--dataset={self._settings.dataset}"
        counts, documents = account.bad_records.counts, sum(account.kept.values())
        bad = f" and {counts.total()} bad records" if counts else ""
        if documents < 2:
            raise InputError(
                f"{name} has {documents} documents{bad}; two are the least, one to train on and "
                "one to score: separate the documents of a text file by blank lines"
            )
        if self._has_validation:
            raise InputError(f"{name}: nothing is left of its {split} split; raise --max_documents")
        fraction = self._settings.validation_fraction
        if split == "validation":
            least = math.ceil((account.lowest_fraction + 1e-4) * 1e4) / 1e4
            fix = f"use --validation_fraction={least} or more, or more documents"
        else:
            fix = "use a smaller one, or more documents"
        raise InputError(
            f"--validation_fraction={fraction} leaves no {split} document of the {documents} in "
            f"{name}; {fix}"
        )


def rooms(
    source: Source, items: Sequence[Slice], counts: Mapping[Slice, int]
) -> dict[Slice, int | None]:
    """The room of each slice where all slices have been counted."""
    read, found = dict.fromkeys(SPLITS, 0), {}
    for item in items:
        found[item] = source.room(item, read)
        read[item.split] += counts[item]
    return found
