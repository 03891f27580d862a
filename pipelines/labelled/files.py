"""Labelled examples from a .tsv, .csv, JSON or Parquet file, plain or compressed."""

import collections
import csv
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from absl import logging

from pipelines.errors import InputError
from pipelines.labelled import labels
from pipelines.labelled.examples import UNLABELLED, Example
from pipelines.settings import DataSettings
from pipelines.sources import file_formats
from pipelines.sources.file_formats import CSV, JSON, PARQUET, TSV
from pipelines.sources.records import BadRecords
from pipelines.sources.source import content_hash, hash_fraction
from pipelines.sources.text_files import SPLIT, names_of_split

FORMATS = (TSV, CSV, JSON, PARQUET)


class Row(NamedTuple):
    """A row of a file.

    Attributes:
        where: file and line.
        texts: the text fields, stripped.
        label: the label as in `labels.normalize`; None where the row has none.
    """

    where: str
    texts: tuple[str, ...]
    label: str | None


def is_file(dataset: str) -> bool:
    """Return whether a data set's name means a file of labelled examples."""
    return file_formats.has_known_suffix(dataset, FORMATS)


class LabelledFiles:
    """Rows of named fields; a .tsv or .csv begins with their names.

    `data/{split}.tsv` stands for `data/train.tsv`, `data/validation.tsv` and, if it is there,
    `data/test.tsv`. A file without `{split}` is divided by a hash of its texts, so a row and its
    copies fall on one side. Its split `all` holds every row. The classes are the labels of the
    training rows, numbers in their order, others by the alphabet. Labels with decimals are numbers
    to predict.

    See `LabelledSource` for the attributes.
    """

    original_metrics = ()
    validation, test, whole = ("validation",), (), ("all",)

    def __init__(self, settings: DataSettings, labels: tuple[str, ...] | None = None):
        """Read the file.

        Args:
            settings: which file, which fields.
            labels: the classes of a model that is there already, of which the file may lack some;
                none for a number to predict. Those of the training rows if None.

        Raises:
            InputError: it cannot be read, lacks a field, a text or a label, or a label is not
                among the classes.
        """
        dataset, self._settings = settings.dataset, settings
        if not settings.text_fields:
            raise InputError(
                f"--dataset={dataset} needs --text_fields: the names of its columns or keys with "
                "text, as --text_fields=title,body"
            )
        self._fields = tuple(settings.text_fields.split(","))
        self._bad = BadRecords(settings.max_bad_records)
        self._rows = self._read_all()
        if self._bad.counts:
            print(f"skipped bad records: {self._bad} (first {self._bad.first})", file=sys.stderr)
        if not self._everything:
            bad = f", and {self._bad} (first {self._bad.first})" if self._bad.counts else ""
            raise InputError(f"--dataset={dataset} has no rows{bad}; add some")
        if labels is None:
            self._set_labels()
        else:
            self._take_labels(labels)
        counts = ", ".join(f"{split} {len(rows)}" for split, rows in self._rows.items())
        self.description = f"{dataset} ({counts})"

    def read(self, split: str) -> list[Example]:
        """Return the rows of a split in their order; of `all`, every row.

        Raises:
            InputError: no such split.
        """
        known = [*self._rows, "all"]
        if split not in known:
            raise InputError(
                f"--dataset={self._settings.dataset} has no split {split!r}; "
                f"use {' or '.join(known)}"
            )
        rows = self._everything if split == "all" else self._rows[split]
        return [
            Example(row.texts, self._value(row.label), number, (number,))
            for number, row in enumerate(rows)
        ]

    def _value(self, label: str | None) -> float:
        if label is None:
            return UNLABELLED
        return self.labels.index(label) if self.labels else float(label)

    def _read_all(self) -> dict[str, list[Row]]:
        dataset, fraction = self._settings.dataset, self._settings.validation_fraction
        if SPLIT in dataset:
            rows = {}
            for split in ("train", "validation", "test"):
                names = names_of_split(dataset, split)
                path = next((name for name in names if Path(name).expanduser().exists()), names[0])
                if split != "test" or Path(path).expanduser().exists():
                    rows[split] = list(self._read(Path(path)))
            self.test = ("test",) if "test" in rows else ()
            self._everything = [row for found in rows.values() for row in found]
        else:
            rows = {"train": [], "validation": []}
            self._everything = list(self._read(Path(dataset)))
            for row in self._everything:
                is_held_out = hash_fraction(content_hash("\n".join(row.texts))) < fraction
                rows["validation" if is_held_out else "train"].append(row)
        self._check_labels_are_there({s: r for s, r in rows.items() if s != "test"})
        if self._settings.drop_unlabelled:
            rows = {s: r if s == "test" else _labelled(r) for s, r in rows.items()}
            self._everything = _labelled(self._everything)
        return rows

    def _check_labels_are_there(self, rows: dict[str, list[Row]]) -> None:
        missing = [row for found in rows.values() for row in found if row.label is None]
        total = sum(map(len, rows.values()))
        if missing and self._settings.drop_unlabelled:
            logging.warning(
                "--dataset=%s: left out %d of %d rows, which have no label; first %s",
                self._settings.dataset, len(missing), total, missing[0].where,
            )  # fmt: skip
        elif 0 < len(missing) < total:
            raise InputError(
                f"{missing[0].where}: the {self._settings.label_field} is empty, null, NaN, - or "
                f"-1, so the row has no label, as {len(missing)} of {total} rows; leave them out "
                "with --drop_unlabelled, or take -1 for a class with --label_type=class"
            )

    def _take_labels(self, known: tuple[str, ...]) -> None:
        """Take the classes of a model, and refuse labels that are not among them."""
        self.labels = known
        self.metrics = ("accuracy", "macro_f1") if known else ("pearson", "spearman")
        for row in _labelled(self._everything):
            fits = row.label in known if known else labels.as_number(row.label) is not None
            if not fits:
                raise InputError(
                    f"{row.where}: {self._settings.label_field}={row.label!r} is none of the "
                    f"model's labels, {', '.join(known) or 'numbers'}; mend the row or remove it"
                )

    def _set_labels(self) -> None:
        """Set the classes and the scores; numbers to predict have no classes."""
        settings, dataset = self._settings, self._settings.dataset
        found = [row.label for row in _labelled(self._rows["train"])]
        is_number = labels.are_numbers(found, settings.label_type, dataset)
        self.metrics = ("pearson", "spearman") if is_number else ("accuracy", "macro_f1")
        self.labels = () if is_number else tuple(labels.in_order(found))
        if not _labelled(self._everything):
            return
        for split in ("train", "validation"):
            if not self._rows[split]:
                raise InputError(
                    f"--dataset={dataset} has no {split} rows at --validation_fraction="
                    f"{settings.validation_fraction}; add rows or change the fraction"
                )
        if is_number:
            values = sorted(map(float, found))
            print(
                f"labels: a number to predict, {values[0]:g} to {values[-1]:g} "
                "(--label_type=class for classes)",
                file=sys.stderr,
            )
            return
        if len(self.labels) < 2:
            raise InputError(
                f"--dataset={dataset}: every training row has {settings.label_field}="
                f"{self.labels[0]!r}; a classifier needs two labels"
            )
        for row in [*self._rows["validation"], *_labelled(self._rows.get("test", []))]:
            if row.label not in self.labels:
                raise InputError(
                    f"{row.where}: {settings.label_field}={row.label!r} is not among the labels of "
                    f"the training rows, {', '.join(self.labels)}; mend the row or add training "
                    "rows with it"
                )
        counts = collections.Counter(row.label for row in self._rows["validation"])
        if len(counts) == 1:
            logging.warning(
                "--dataset=%s: every validation row has %s=%r, so a model that always answers so "
                "scores 100%%; validate on rows of the other labels too",
                dataset, settings.label_field, *counts,
            )  # fmt: skip

    def _read(self, path: Path) -> Iterator[Row]:
        for where, record in records(path, [*self._fields, self._settings.label_field], self._bad):
            texts = [text_of(record, field, where, "text_fields") for field in self._fields]
            field = self._settings.label_field
            if file_formats.field_of(record, field) is None and field not in record:
                raise InputError(_no_field(record, field, where, "label_field"))
            value = file_formats.field_of(record, field)
            label = labels.normalize(value, where, field, self._settings.label_type)
            if any(map(file_formats.has_surrogate, texts)):
                self._bad.add("lone surrogate", where)
            else:
                yield Row(where, tuple(texts), label)


def _labelled(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row.label is not None]


def text_of(record: dict, field: str, where: str, flag: str) -> str:
    """Return the text of a field of a record, stripped.

    Raises:
        InputError: there is no such field, it is empty, or it holds a list or an object.
    """
    value = file_formats.field_of(record, field)
    if value is None:
        raise InputError(_no_field(record, field, where, flag))
    if isinstance(value, (list, dict)):
        kind = "a list" if isinstance(value, list) else "an object"
        raise InputError(f"{where}: {field} is {kind}, not a text; name a field that holds a text")
    text = str(value).strip()
    if not text:
        raise InputError(f"{where}: {field} is empty; fill it or remove the row")
    return text


def _no_field(record: dict, field: str, where: str, flag: str) -> str:
    have = ", ".join(str(name) for name in record)
    return f"{where} has no field {field!r} (--{flag}); it has {have}"


def records(path: Path, fields: list[str], bad: BadRecords) -> Iterator[tuple[str, dict]]:
    """Yield file and line of each record of a file, and the record.

    Raises:
        InputError: the file cannot be read, a row has more fields than the header, or too many
            records are bad.
    """
    path = path.expanduser()
    kind = file_formats.format_of(path, FORMATS)
    try:
        with open(path, "rb") as file:
            stream = file_formats.decompress(file, path)
            if kind in (TSV, CSV):
                found = ((n, row, "") for n, row in _table(stream, kind, path))
            elif kind == JSON:
                found = file_formats.json_records(stream, path)
            else:
                columns = [name for field in fields for name in (field, field.partition(".")[0])]
                found = file_formats.parquet_records(stream, columns)
            for number, record, problem in found:
                where = f"{path}:{number}"
                if problem or not isinstance(record, dict):
                    bad.add(problem or "not a JSON object", where)
                else:
                    yield where, record
    except UnicodeDecodeError as error:
        raise InputError(f"{path} {file_formats.describe_encoding(error)}") from None
    except file_formats.READ_ERRORS as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"--dataset: {path} cannot be read ({reason}); check it") from None


def _table(stream: Any, kind: str, path: Path) -> Iterator[tuple[int, dict]]:
    """Yield the rows of a .tsv or .csv, numbered by the line that they end in."""
    text = io.StringIO(stream.read().decode("utf-8-sig"), newline="")
    # A cell may be as long as a document.
    csv.field_size_limit(2**31 - 1)
    if kind == TSV:
        # As the files of GLUE: a quotation mark is a character like any other.
        reader = csv.DictReader(text, delimiter="\t", quoting=csv.QUOTE_NONE)
    else:
        reader = csv.DictReader(text)
    try:
        for row in reader:
            if None in row:
                count, known = len(row) - 1 + len(row[None]), len(reader.fieldnames)
                raise InputError(
                    f"{path}:{reader.line_num} has {count} fields, the header has {known} "
                    f"({', '.join(reader.fieldnames)}); quote or remove the "
                    f"{'tab' if kind == TSV else 'comma'} too many"
                )
            if None in row.values():
                count = sum(value is not None for value in row.values())
                raise InputError(
                    f"{path}:{reader.line_num} has {count} fields, the header has {len(row)} "
                    f"({', '.join(reader.fieldnames)}); fill in what is missing"
                )
            yield reader.line_num, row
    except csv.Error as error:
        raise InputError(f"{path}:{reader.line_num} cannot be read ({error})") from None
