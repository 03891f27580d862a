"""The texts of `predict --input`: a line each, or the text fields of a file of records."""

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tqdm import tqdm

from pipelines.labelled import files
from pipelines.sources import file_formats
from pipelines.sources.records import BadRecords
from sparse_mixer_tf.settings import SettingsError

# A smaller file is read before anyone could look at a bar.
BAR_FROM_BYTES = 100_000


def texts_of(path: str, fields: Sequence[str]) -> Iterator[str]:
    """Yield the texts of a file in their order, segments apart by tabs; a blank line is "".

    A .csv, JSON or Parquet file, and a .tsv whose first line names the fields, has one row a text.
    Any other file has one text a line.

    Args:
        path: the file; `-` is standard input.
        fields: the text fields of the data that the model was trained on.

    Raises:
        SettingsError: the file cannot be read or is not UTF-8.
        InputError: a row lacks a field or cannot be read.
    """
    if path != "-" and _has_records(path, fields):
        # No record may be missing among the answers.
        for where, record in files.records(Path(path), list(fields), BadRecords(0)):
            parts = [files.text_of(record, field, where, "text_fields") for field in fields]
            yield "\t".join(" ".join(part.split("\t")) for part in parts)
        return
    yield from _lines(path)


def _has_records(path: str, fields: Sequence[str]) -> bool:
    if not files.is_file(path):
        return False
    if file_formats.split_name(path)[0] != ".tsv":
        return True
    try:
        with open(path, "rb") as file:
            stream = file_formats.decompress(file, path)
            header = next((line for _, line in file_formats.lines(stream)), b"")
    except file_formats.READ_ERRORS:
        return True
    return set(fields) <= set(header.decode("utf-8", "replace").rstrip("\r\n").split("\t"))


def _lines(path: str) -> Iterator[str]:
    try:
        with open(0 if path == "-" else path, "rb") as source:
            size = os.fstat(source.fileno()).st_size
            shown = sys.stderr.isatty() and size >= BAR_FROM_BYTES
            with tqdm(total=size, unit="B", unit_scale=True, disable=not shown) as bar:
                for _, line in file_formats.lines(source):
                    bar.update(len(line))
                    text = line.decode("utf-8").rstrip("\r\n")
                    yield text if text.strip() else ""
    except OSError as error:
        raise SettingsError(f"--input={path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise SettingsError(f"--input={path} {file_formats.describe_encoding(error)}") from None
