"""Documents from text and JSON-lines files, plain or compressed, one file or a glob."""

import bz2
import glob
import gzip
import hashlib
import json
import lzma
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import BinaryIO

from pipelines import filesystem
from pipelines.errors import InputError
from pipelines.sources import work_units
from pipelines.sources.records import BadRecords, Document

_OPEN = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}
# More of them are described by a digest.
_NAMED_FILES = 100
_SUFFIXES = (".txt", ".jsonl")


def is_path(dataset: str) -> bool:
    """Whether a data set name means files: `c4/en` does not, unless there is such a file."""
    stem = dataset.removesuffix(Path(dataset).suffix) if _compressed(dataset) else dataset
    return (
        dataset.startswith(("/", "./", "../", "~"))
        or filesystem.is_remote(dataset)
        or glob.has_magic(dataset)
        or stem.endswith(_SUFFIXES)
        or Path(dataset).exists()
    )


def find(dataset: str) -> list[str | Path]:
    """The files that a path or glob names, sorted; they may lie on gs://.

    Raises:
        InputError: there are none, one is empty, or the path is a folder.
    """
    pattern = filesystem.place(dataset)
    if filesystem.is_folder(pattern):
        raise InputError(f"--dataset={dataset} is a folder; name its files, as {dataset}/*.txt")
    is_pattern = glob.has_magic(str(pattern)) and not filesystem.exists(pattern)
    paths = filesystem.find(pattern) if is_pattern else [pattern]
    if not paths:
        raise InputError(f"--dataset={dataset} matches no file; check the pattern")
    for path in paths:
        try:
            size = filesystem.state(path).size
        except FileNotFoundError:
            raise InputError(
                f"--dataset={dataset}: there is no file {path}; check the path"
            ) from None
        if size == 0:
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

    def __init__(self, dataset: str, slice_bytes: int = work_units.SLICE_BYTES):
        """Args: dataset: as in `find`; slice_bytes: as in `slices.group`."""
        self._paths = find(dataset)
        states = [filesystem.state(path) for path in self._paths]
        self._sizes = [state.size for state in states]
        self._slices = work_units.group(self._sizes, slice_bytes)
        self.description = _describe_all(self._paths, states)
        self.fraction_read = 0.0

    def num_slices(self, split: str) -> int:
        del split
        return len(self._slices)

    def documents(
        self, split: str, bad: BadRecords, number: int | None = None
    ) -> Iterator[Document]:
        """Yields the documents of a slice, or of all, in order of the files' names.

        Raises:
            InputError: a file cannot be read, or too many records are bad.
        """
        del split
        for at in range(len(self._paths)) if number is None else self._slices[number]:
            path, before = self._paths[at], sum(self._sizes[:at])
            name = PurePath(path)
            compressed = _compressed(name.name)
            plain_name = name.stem if compressed else name.name
            read = _json_lines if plain_name.endswith(".jsonl") else _text
            try:
                with filesystem.open_binary(path) as file:
                    stream = _OPEN[name.suffix](file) if compressed else file
                    for document in read(stream, path, bad):
                        self.fraction_read = (before + file.tell()) / sum(self._sizes)
                        yield document
            except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
                raise InputError(
                    f"--dataset: {path} cannot be read ({error}); is it complete?"
                ) from None


def describe(path: str | Path, state: filesystem.State) -> str:
    """A file and its version, as far as size and time of change tell one."""
    where = path if filesystem.is_remote(path) else path.resolve()
    return f"{where} ({state.size} bytes, changed {state.changed})"


def _describe_all(paths: list[str | Path], states: list[filesystem.State]) -> str:
    each = [describe(path, state) for path, state in zip(paths, states, strict=True)]
    if len(each) <= _NAMED_FILES:
        return "; ".join(each)
    digest = hashlib.sha256("\n".join(each).encode()).hexdigest()
    size = sum(state.size for state in states)
    return f"{len(each)} files ({size} bytes, {digest[:16]}) from {paths[0]} to {paths[-1]}"


def _compressed(name: str) -> bool:
    return Path(name).suffix in _OPEN


def _json_lines(stream: BinaryIO, path: str | Path, bad: BadRecords) -> Iterator[Document]:
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
                yield from bad.screen(record["text"], PurePath(path).name, where)
            else:
                bad.add("without text", where)


def _text(stream: BinaryIO, path: str | Path, bad: BadRecords) -> Iterator[Document]:
    lines, first = [], 1
    for number, line in enumerate(stream, 1):
        if line.strip():
            lines.append(line)
            continue
        yield from _text_document(lines, path, first, bad)
        lines, first = [], number + 1
    yield from _text_document(lines, path, first, bad)


def _text_document(
    lines: list[bytes], path: str | Path, first: int, bad: BadRecords
) -> Iterator[Document]:
    if not lines:
        return
    where = f"{path}:{first}"
    try:
        text = b"".join(lines).decode("utf-8")
    except UnicodeDecodeError:
        bad.add("invalid UTF-8", where)
    else:
        yield from bad.screen(text, PurePath(path).name, where)
