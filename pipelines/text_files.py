"""Documents from text and JSON-lines files, plain or compressed, one file or a glob."""

import bz2
import glob
import gzip
import json
import lzma
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from pipelines.errors import InputError
from pipelines.records import BadRecords, Document

_OPEN = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}
_SUFFIXES = (".txt", ".jsonl")


def is_path(dataset: str) -> bool:
    """Whether a data set name means files: `c4/en` does not, unless there is such a file."""
    stem = dataset.removesuffix(Path(dataset).suffix) if _compressed(dataset) else dataset
    return (
        dataset.startswith(("/", "./", "../", "~"))
        or glob.has_magic(dataset)
        or stem.endswith(_SUFFIXES)
        or Path(dataset).exists()
    )


def find(dataset: str) -> list[Path]:
    """The files that a path or glob names, sorted.

    Raises:
        InputError: there are none, one is empty, or the path is a folder.
    """
    pattern = str(Path(dataset).expanduser())
    if Path(pattern).is_dir():
        raise InputError(f"--dataset={dataset} is a folder; name its files, as {dataset}/*.txt")
    if glob.has_magic(pattern) and not Path(pattern).exists():
        paths = [Path(name) for name in sorted(glob.glob(pattern, recursive=True))]
        paths = [path for path in paths if path.is_file()]
    else:
        paths = [Path(pattern)]
    if not paths:
        raise InputError(f"--dataset={dataset} matches no file; check the pattern")
    for path in paths:
        if not path.exists():
            raise InputError(f"--dataset={dataset}: there is no file {path}; check the path")
        if path.stat().st_size == 0:
            raise InputError(f"--dataset={dataset}: {path} is empty; remove it or fill it")
    return paths


class TextFiles:
    """Files of documents.

    A `.jsonl` file has one JSON object with a `text` key a line. Any other file is text: its
    documents are separated by blank lines, and without any the file is one document.

    Attributes:
        description: paths, sizes and times of change.
        splits: files have no validation split of their own.
        fraction_read: how much of the bytes on disk this pass has read, 0 to 1.
    """

    splits = ("train",)

    def __init__(self, dataset: str):
        self._paths = find(dataset)
        self._sizes = [path.stat().st_size for path in self._paths]
        self.description = "; ".join(
            f"{path.resolve()} ({path.stat().st_size} bytes, changed {path.stat().st_mtime_ns})"
            for path in self._paths
        )
        self.fraction_read = 0.0

    def documents(self, split: str, bad: BadRecords) -> Iterator[Document]:
        """Yields the documents in order of the files' names.

        Raises:
            InputError: a file cannot be read, or too many records are bad.
        """
        del split
        for number, path in enumerate(self._paths):
            before = sum(self._sizes[:number])
            compressed = _compressed(path.name)
            name = path.stem if compressed else path.name
            read = _json_lines if name.endswith(".jsonl") else _text
            try:
                with open(path, "rb") as file:
                    stream = _OPEN[path.suffix](file) if compressed else file
                    for document in read(stream, path, bad):
                        self.fraction_read = (before + file.tell()) / sum(self._sizes)
                        yield document
            except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
                raise InputError(
                    f"--dataset: {path} cannot be read ({error}); is it complete?"
                ) from None


def _compressed(name: str) -> bool:
    return Path(name).suffix in _OPEN


def _json_lines(stream: BinaryIO, path: Path, bad: BadRecords) -> Iterator[Document]:
    for number, line in enumerate(stream, 1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            record = json.loads(line.decode("utf-8"))
        except UnicodeDecodeError:
            bad.add("invalid UTF-8", where)
        except ValueError:
            bad.add("invalid JSON", where)
        else:
            if isinstance(record, dict) and isinstance(record.get("text"), str):
                yield from bad.screen(record["text"], path.name, where)
            else:
                bad.add("without text", where)


def _text(stream: BinaryIO, path: Path, bad: BadRecords) -> Iterator[Document]:
    lines, first = [], 1
    for number, line in enumerate(stream, 1):
        if line.strip():
            lines.append(line)
            continue
        yield from _text_document(lines, path, first, bad)
        lines, first = [], number + 1
    yield from _text_document(lines, path, first, bad)


def _text_document(
    lines: list[bytes], path: Path, first: int, bad: BadRecords
) -> Iterator[Document]:
    if not lines:
        return
    where = f"{path}:{first}"
    try:
        text = b"".join(lines).decode("utf-8")
    except UnicodeDecodeError:
        bad.add("invalid UTF-8", where)
    else:
        yield from bad.screen(text, path.name, where)
