"""Labelled examples from a .tsv, .csv or .jsonl file, plain or compressed."""

import bz2
import csv
import gzip
import json
import lzma
import zlib
from collections.abc import Iterator
from pathlib import Path

from absl import logging

from pipelines.errors import InputError
from pipelines.labelled.examples import UNLABELLED, Example
from pipelines.sources.source import content_hash, hash_fraction

SUFFIXES = (".tsv", ".csv", ".jsonl")
_OPEN = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}
_SPLIT = "{split}"


def is_file(dataset: str) -> bool:
    """Whether a data set name means a file of labelled examples."""
    path = Path(dataset)
    return (path.stem if path.suffix in _OPEN else path.name).endswith(SUFFIXES)


class LabelledFiles:
    """Rows of named fields; a .tsv or .csv begins with their names.

    `data/{split}.tsv` stands for `data/train.tsv` and `data/validation.tsv`. A file without
    `{split}` is divided by a hash of its texts, so a row and its copies fall on one side. The
    classes are the labels of the training rows, numbers in their order, others by the alphabet.

    See `LabelledSource` for the attributes.
    """

    metrics, original_metrics = ("accuracy", "macro_f1"), ()
    validation, test = ("validation",), ()

    def __init__(
        self, dataset: str, text_fields: str | None, label_field: str, validation_fraction: float
    ):
        """Reads the file.

        Raises:
            InputError: it cannot be read, lacks a field, a text or a label, or a label of the
                validation rows is not among those of the training rows.
        """
        if not text_fields:
            raise InputError(
                f"--dataset={dataset} needs --text_fields: the names of its columns or keys with "
                "text, as --text_fields=title,body"
            )
        self._fields, self._label = tuple(text_fields.split(",")), label_field
        self._dataset = dataset
        self._rows = {"train": [], "validation": []}
        if _SPLIT in dataset:
            for split in self._rows:
                self._rows[split] = list(self._read(Path(dataset.replace(_SPLIT, split))))
        else:
            for row in self._read(Path(dataset)):
                fraction = hash_fraction(content_hash("\n".join(row[1])))
                self._rows["validation" if fraction < validation_fraction else "train"].append(row)
        for split, rows in self._rows.items():
            if not rows:
                raise InputError(
                    f"--dataset={dataset} has no {split} rows at --validation_fraction="
                    f"{validation_fraction}; add rows or change the fraction"
                )
        self.labels = tuple(sorted({row[2] for row in self._rows["train"]}, key=_as_number))
        if len(self.labels) < 2:
            raise InputError(
                f"--dataset={dataset}: every training row has {label_field}={self.labels[0]!r}; "
                "a classifier needs two labels"
            )
        for where, _, label in self._rows["validation"]:
            if label not in self.labels:
                raise InputError(
                    f"{where}: {label_field}={label!r} is not among the labels of the training "
                    f"rows, {', '.join(self.labels)}; mend the row or add training rows with it"
                )
        first, *others = {row[2] for row in self._rows["validation"]}
        if not others:
            logging.warning(
                "--dataset=%s: every validation row has %s=%r, so a model that always answers so "
                "scores 100%%; validate on rows of the other labels too",
                dataset,
                label_field,
                first,
            )
        self.description = (
            f"{dataset} ({', '.join(f'{s} {len(r)}' for s, r in self._rows.items())})"
        )

    def read(self, split: str) -> list[Example]:
        """The rows of a split in their order.

        Raises:
            InputError: no such split.
        """
        if split not in self._rows:
            raise InputError(
                f"--dataset={self._dataset} has no split {split!r}; use train or validation"
            )
        classes = {label: number for number, label in enumerate(self.labels)}
        return [
            Example(texts, classes.get(label, UNLABELLED), number, (number,))
            for number, (_, texts, label) in enumerate(self._rows[split])
        ]

    def _read(self, path: Path) -> Iterator[tuple[str, tuple[str, ...], str]]:
        """Where a row stands, its texts, its label."""
        path = path.expanduser()
        try:
            with _OPEN.get(path.suffix, open)(path, "rt", encoding="utf-8", newline="") as file:
                name = path.stem if path.suffix in _OPEN else path.name
                for number, row in _rows(file, name, path):
                    where = f"{path}:{number}"
                    texts = tuple(self._text(row, field, where) for field in self._fields)
                    yield where, texts, self._text(row, self._label, where)
        except UnicodeDecodeError as error:
            raise InputError(f"{path} is not UTF-8 ({error.reason}); convert it") from None
        except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(f"--dataset: {path} cannot be read ({reason}); check it") from None

    def _text(self, row: dict, field: str, where: str) -> str:
        if field not in row or row[field] is None:
            flag = "label_field" if field == self._label else "text_fields"
            have = ", ".join(name for name in row if name is not None)
            raise InputError(f"{where} has no field {field!r} (--{flag}); it has {have}")
        text = str(row[field]).strip()
        if not text:
            raise InputError(f"{where}: {field} is empty; fill it or remove the row")
        return text


def _rows(file, name: str, path: Path) -> Iterator[tuple[int, dict]]:
    if name.endswith(".jsonl"):
        for number, line in enumerate(file, 1):
            if line.strip():
                try:
                    row = json.loads(line)
                except ValueError:
                    row = None
                if not isinstance(row, dict):
                    raise InputError(f"{path}:{number} is not a JSON object; mend the line")
                yield number, row
        return
    if name.endswith(".tsv"):
        # As the files of GLUE: a quotation mark is a character like any other.
        reader = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
    else:
        reader = csv.DictReader(file)
    try:
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise InputError(f"{path}:{reader.line_num} cannot be read ({error})") from None


def _as_number(label: str) -> tuple[int, float, str]:
    try:
        return 0, float(label), label
    except ValueError:
        return 1, 0.0, label
