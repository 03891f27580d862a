"""Documents from files of text, JSON or Parquet, plain or compressed, one file or a glob."""

import glob
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath
from typing import Any, BinaryIO

from pipelines import filesystem
from pipelines.errors import InputError
from pipelines.sources import file_formats, work_units
from pipelines.sources.file_formats import JSON, PARQUET, TEXT
from pipelines.sources.records import BadRecords, Document

FORMATS = (TEXT, JSON, PARQUET)
SPLIT = "{split}"
# More of them are described by a digest.
_NAMED_FILES = 100


def is_path(dataset: str) -> bool:
    """Return whether a data set's name means files.

    `c4/en` does not, even if there is such a folder; `./c4/en` and `c4/en.txt` do.
    """
    return (
        dataset.startswith(("/", "./", "../", "~"))
        or filesystem.is_remote(dataset)
        or glob.has_magic(dataset)
        or SPLIT in dataset
        or file_formats.has_known_suffix(dataset, FORMATS)
        or Path(dataset).is_file()
    )


def names_of_split(dataset: str, split: str) -> list[str]:
    """Return the names that a pattern with `{split}` may have for a split."""
    words = {"validation": ("validation", "valid", "val", "dev")}.get(split, (split,))
    return [dataset.replace(SPLIT, word) for word in words]


def find_split(dataset: str, split: str) -> list[str | Path]:
    """Return the files of one split of a pattern such as `data/{split}.txt`; none if absent.

    Raises:
        InputError: a file is empty, or its suffix is unknown.
    """
    for name in names_of_split(dataset, split):
        place = filesystem.place(name)
        exists = filesystem.find(place) if glob.has_magic(name) else filesystem.exists(place)
        if exists:
            return find(name)
    return []


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
        file_formats.format_of(path, FORMATS)
        if not file_formats.has_known_suffix(path, FORMATS):
            file_formats.refuse_disguised(path, _head(path))
        if size == 0:
            raise InputError(f"--dataset={dataset}: {path} is empty; remove it or fill it")
    return paths


def _head(path: str | Path) -> bytes:
    """Return the first bytes of a file, plain; none if it is damaged, which reading it tells."""
    with filesystem.open_binary(path) as file:
        try:
            return file_formats.decompress(file, path).read(2**16)
        except file_formats.READ_ERRORS:
            return b""


class TextFiles:
    """Files of documents.

    A JSON file (.jsonl, .ndjson, .jl, .json) has one object a line, or is one array of them; a
    Parquet file has one document a row. Any other file is text: its documents are separated by
    blank lines, and without any the file is one document. A pattern with `{split}` stands for a
    training and a validation set.

    Attributes:
        description: paths, sizes and times of change.
        splits: "train", and "validation" where the pattern has `{split}`.
        fraction_read: share of the bytes on disk that this pass has read, 0 to 1.
    """

    def __init__(
        self, dataset: str, slice_bytes: int = work_units.SLICE_BYTES, text_field: str = "text"
    ):
        """Find the files.

        Args:
            dataset: as in `find`, or a pattern with `{split}`.
            slice_bytes: as in `work_units.group`.
            text_field: the field of a JSON or Parquet record that holds the text; `data.text` is
                the field `text` of the field `data`.

        Raises:
            InputError: there are no such files, one is empty, or a suffix is unknown.
        """
        self._text_field = text_field
        self.splits = ("train", "validation") if SPLIT in dataset else ("train",)
        if SPLIT in dataset:
            self._paths = {split: find_split(dataset, split) for split in self.splits}
            for split, paths in self._paths.items():
                if not paths:
                    names = " or ".join(names_of_split(dataset, split))
                    raise InputError(f"--dataset={dataset} has no {split} file: expected {names}")
        else:
            self._paths = {"train": find(dataset)}
        states = {s: [filesystem.state(p) for p in paths] for s, paths in self._paths.items()}
        self._sizes = {s: [state.size for state in found] for s, found in states.items()}
        self._slices = {s: work_units.group(sizes, slice_bytes) for s, sizes in self._sizes.items()}
        described = [_describe_all(self._paths[split], states[split]) for split in self.splits]
        self.description = "; ".join(described)
        self.fraction_read = 0.0

    def num_slices(self, split: str) -> int:
        return len(self._slices[split])

    def documents(
        self, split: str, bad: BadRecords, number: int | None = None
    ) -> Iterator[Document]:
        """Yields the documents of a slice, or of all, in order of the files' names.

        Raises:
            InputError: a file cannot be read, or too many records are bad.
        """
        paths, sizes = self._paths[split], self._sizes[split]
        total = sum(map(sum, self._sizes.values()))
        # The validation set is read first.
        done = 0 if split == "validation" else total - sum(sizes)
        for at in range(len(paths)) if number is None else self._slices[split][number]:
            path, before = paths[at], done + sum(sizes[:at])
            try:
                with filesystem.open_binary(path) as file:
                    for document in self._read(file, path, bad):
                        self.fraction_read = (before + file.tell()) / total
                        yield document
            except file_formats.READ_ERRORS as error:
                raise InputError(
                    f"--dataset: {path} cannot be read ({error}); is it complete?"
                ) from None

    def _read(self, file: BinaryIO, path: str | Path, bad: BadRecords) -> Iterator[Document]:
        kind = file_formats.format_of(path, FORMATS)
        stream = file_formats.decompress(file, path)
        if kind == TEXT:
            return _text(stream, path, bad)
        if kind == JSON:
            records = file_formats.json_records(stream, path)
        else:
            column = self._text_field.partition(".")[0]
            records = file_formats.parquet_records(stream, [self._text_field, column])
        return _from_records(records, self._text_field, path, bad)


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


def _from_records(
    records: Iterable[tuple[int, Any, str]], field: str, path: str | Path, bad: BadRecords
) -> Iterator[Document]:
    """Yield the documents of records; refuse a file whose first record has no such field."""
    name, found = PurePath(path).name, False
    for number, record, problem in records:
        where = f"{path}:{number}"
        text = file_formats.field_of(record, field)
        if problem:
            bad.add(problem, where)
        elif isinstance(text, str):
            found = True
            yield from bad.screen(text, name, where)
        elif not found and isinstance(record, dict) and record:
            raise InputError(
                f"{where} has no text in its field {field!r}; it has {_fields(record)}; name the "
                "field with --text_field, a nested one as data.text"
            )
        else:
            bad.add(f"without {field}", where)


def _fields(record: dict, before: str = "") -> str:
    """Return the names of a record's fields, nested ones with a dot, the first ten."""
    names = []
    for name, value in record.items():
        if isinstance(value, dict) and value and not before:
            names += _fields(value, f"{name}.").split(", ")
        else:
            names.append(f"{before}{name}")
    return ", ".join(names[:10])


def _text(stream: BinaryIO, path: str | Path, bad: BadRecords) -> Iterator[Document]:
    lines, first = [], 1
    for number, line in file_formats.lines(stream):
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
