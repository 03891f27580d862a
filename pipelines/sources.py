"""A data set's name to its documents, divided into train and validation without overlap."""

import hashlib
import math
from collections.abc import Iterator
from itertools import islice

from pipelines import text_files
from pipelines.errors import InputError
from pipelines.python_docs import PythonDocs
from pipelines.records import BadRecords, Document
from pipelines.settings import DataSettings
from pipelines.store_format import SPLITS
from pipelines.tfds_text import TfdsText


def content_hash(text: str) -> bytes:
    """16 bytes that name a text; copies that differ in white space alone share them."""
    return hashlib.blake2b(" ".join(text.split()).encode(), digest_size=16).digest()


def hash_fraction(digest: bytes) -> float:
    """A content hash as a number in [0, 1)."""
    return int.from_bytes(digest[:8], "little") / 2**64


class Source:
    """The documents of a data set, by split.

    A source with a validation split of its own keeps it, and its training documents that are
    copies of validation ones are dropped. Any other source is divided by a hash of the content, so
    a document and its copies fall on one side, whatever the order and number of documents.

    Attributes:
        description: names the data and their version; part of what a token store is made from.
        bad_records: what the last pass over the data skipped.
        duplicates_dropped: training documents the last pass left out, copies of validation ones.
        documents_read: number of documents the last pass has read so far.
    """

    def __init__(self, settings: DataSettings):
        """Finds the data; nothing is read yet.

        Raises:
            InputError: no such data, or not readable.
        """
        self._settings = settings
        if settings.dataset == "python_docs":
            self._reader = PythonDocs()
        elif text_files.is_path(settings.dataset):
            self._reader = text_files.TextFiles(settings.dataset)
        else:
            self._reader = TfdsText(settings.dataset, settings.data_dir)
        self.description = self._reader.description
        self._start()

    @property
    def fraction_read(self) -> float:
        """How much of the data the last pass has read, 0 to 1."""
        bound = self._settings.max_documents
        return max(self._reader.fraction_read, self.documents_read / bound if bound else 0.0)

    def documents(self) -> Iterator[tuple[str, Document]]:
        """One pass: yields (split, document), validation first where the source has it.

        Raises:
            InputError: too many bad records, or one of the splits stays empty.
        """
        self._start()
        counts = dict.fromkeys(SPLITS, 0)
        has_validation = "validation" in self._reader.splits
        for split, document in self._own_splits() if has_validation else self._hashed_splits():
            counts[split] += 1
            yield split, document
        for split in SPLITS:
            if not counts[split]:
                self._refuse_empty(split, sum(counts.values()))

    def _start(self) -> None:
        self.bad_records = BadRecords(self._settings.max_bad_records)
        self.duplicates_dropped = self.documents_read = 0
        self._reader.fraction_read = 0.0
        self._lowest_fraction = 1.0

    def _own_splits(self) -> Iterator[tuple[str, Document]]:
        most = self._settings.max_documents
        held_out = most and max(1, round(most * self._settings.validation_fraction))
        kept_back = set()
        for document in islice(self._read("validation"), held_out):
            kept_back.add(content_hash(document.text))
            yield "validation", document
        for document in islice(self._read("train"), most and most - held_out):
            if content_hash(document.text) in kept_back:
                self.duplicates_dropped += 1
            else:
                yield "train", document

    def _hashed_splits(self) -> Iterator[tuple[str, Document]]:
        for document in islice(self._read("train"), self._settings.max_documents):
            fraction = hash_fraction(content_hash(document.text))
            self._lowest_fraction = min(self._lowest_fraction, fraction)
            held_out = fraction < self._settings.validation_fraction
            yield ("validation" if held_out else "train"), document

    def _read(self, split: str) -> Iterator[Document]:
        for document in self._reader.documents(split, self.bad_records):
            self.documents_read += 1
            yield document

    def _refuse_empty(self, split: str, documents: int) -> None:
        name = f"--dataset={self._settings.dataset}"
        bad = (
            f" and {self.bad_records.counts.total()} bad records" if self.bad_records.counts else ""
        )
        if documents < 2:
            raise InputError(
                f"{name} has {documents} documents{bad}; two are the least, one to train on and "
                "one to score: separate the documents of a text file by blank lines"
            )
        if "validation" in self._reader.splits:
            raise InputError(f"{name}: nothing is left of its {split} split; raise --max_documents")
        fraction = self._settings.validation_fraction
        if split == "validation":
            least = math.ceil((self._lowest_fraction + 1e-4) * 1e4) / 1e4
            fix = f"use --validation_fraction={least} or more, or more documents"
        else:
            fix = "use a smaller one, or more documents"
        raise InputError(
            f"--validation_fraction={fraction} leaves no {split} document of the {documents} in "
            f"{name}; {fix}"
        )
