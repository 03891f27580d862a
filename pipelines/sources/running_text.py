"""A data set's name to running text, divided into train, validation and test."""

import dataclasses
import difflib
import functools
import re
import sys
from collections.abc import Callable
from pathlib import Path

from pipelines import filesystem
from pipelines.errors import InputError
from pipelines.progress import Progress
from pipelines.settings import DataSettings
from pipelines.sources import enwik8, file_formats, text_files
from pipelines.sources.source import Source, content_hash, hash_fraction

SPLITS = ("train", "validation", "test")
WIKITEXT = ("wikitext-2", "wikitext-103")
_WIKITEXT_FILES = {
    "train": "wiki.train.tokens",
    "validation": "wiki.valid.tokens",
    "test": "wiki.test.tokens",
}
_RECORDS = (file_formats.JSON, file_formats.PARQUET)
# A name this near to a known one is a slip, not another data set.
_SLIP = 0.75


@dataclasses.dataclass(frozen=True)
class RunningText:
    """A text that has been found but not read.

    Attributes:
        description: names the data and their version; part of what a corpus is made from.
        read: gives {"train": bytes, "validation": bytes, "test": bytes}, or raises InputError.
    """

    description: str
    read: Callable[[], dict[str, bytes]]


def find(settings: DataSettings) -> RunningText:
    """The text that `--dataset` names.

    * enwik8, text8: cut at 90 and 95 million characters, from `--data_dir`.
    * wikitext-2, wikitext-103: their three files in `--data_dir`.
    * text files: cut at 90 and 95 per cent of their length; `data/{split}.txt` stands for a file
      of each split, and without a test file the validation set is cut in half.
    * python_docs, JSON and Parquet files, TFDS data sets: whole documents, divided by a hash of
      their content as for pre-training; of the training documents the same share is kept back as
      the test split.

    The first two end each part with a newline, as the published programs read them.

    Raises:
        InputError: no such data.
    """
    name = settings.dataset
    if name in enwik8.CORPORA:
        path = enwik8.find(name, settings.data_dir)
        return RunningText(_state([path]), functools.partial(_published, name, path))
    if name in WIKITEXT:
        paths = _wikitext(name, settings.data_dir)
        return RunningText(_state(paths.values()), functools.partial(_ready_parts, paths))
    if text_files.SPLIT in name and file_formats.has_known_suffix(name, (file_formats.TEXT,)):
        return _split_files(name)
    if text_files.is_path(name) and not file_formats.has_known_suffix(name, _RECORDS):
        paths = text_files.find(name)
        return RunningText(_state(paths), functools.partial(_cut_files, paths, settings.tokenizer))
    _refuse_slip(name)
    source = Source(settings)
    return RunningText(source.description, functools.partial(_documents, source, settings))


def cut(text: bytes, tokenizer: str) -> dict[str, bytes]:
    """Divides a text at 90 and 95 per cent, moved to the next end of a symbol.

    Args:
        text: anything; UTF-8 unless the symbols are bytes.
        tokenizer: "byte" cuts anywhere, "character" between characters, others behind white space.
    """
    first, second = (_boundary(text, len(text) * share // 100, tokenizer) for share in (90, 95))
    return {"train": text[:first], "validation": text[first:second], "test": text[second:]}


def _boundary(text: bytes, position: int, tokenizer: str) -> int:
    if tokenizer in ("word", "sentencepiece"):
        space = re.compile(rb"\s").search(text, position)
        return space.end() if space else len(text)
    if tokenizer == "character":
        while position < len(text) and text[position] & 0xC0 == 0x80:
            position += 1
    return position


def _state(paths) -> str:
    """Paths, sizes and times of change."""
    return "; ".join(text_files.describe(path, filesystem.state(path)) for path in paths)


def _published(name: str, path: Path) -> dict[str, bytes]:
    return enwik8.splits(name, enwik8.read(name, path))


def _wikitext(name: str, data_dir: str | None) -> dict[str, Path]:
    if not data_dir:
        raise InputError(
            f"--dataset={name} needs --data_dir, the folder with "
            f"{', '.join(_WIKITEXT_FILES.values())}"
        )
    folder = Path(data_dir).expanduser()
    folder = folder / name if (folder / name).is_dir() else folder
    paths = {split: folder / file for split, file in _WIKITEXT_FILES.items()}
    if missing := [path.name for path in paths.values() if not path.is_file()]:
        raise InputError(
            f"--data_dir={data_dir} lacks {', '.join(missing)} of --dataset={name}; unpack the "
            "word-level archive of WikiText there"
        )
    return paths


def _ready_parts(paths: dict[str, Path]) -> dict[str, bytes]:
    return {split: enwik8.closed(_read(path)) for split, path in paths.items()}


def _cut_files(paths: list[str | Path], tokenizer: str) -> dict[str, bytes]:
    return cut(b"".join(map(_read, paths)), tokenizer)


def _split_files(dataset: str) -> RunningText:
    paths = {split: text_files.find_split(dataset, split) for split in SPLITS}
    for split in ("train", "validation"):
        if not paths[split]:
            names = " or ".join(text_files.names_of_split(dataset, split))
            raise InputError(f"--dataset={dataset} has no {split} file: expected {names}")
    everything = [path for split in SPLITS for path in paths[split]]
    return RunningText(_state(everything), functools.partial(_read_splits, paths))


def _read_splits(paths: dict[str, list[str | Path]]) -> dict[str, bytes]:
    parts = {split: b"".join(map(_read, found)) for split, found in paths.items()}
    if not paths["test"]:
        middle = _boundary(parts["validation"], len(parts["validation"]) // 2, "word")
        held_out = parts["validation"]
        parts |= {"validation": held_out[:middle], "test": held_out[middle:]}
    return parts


def _read(path: str | Path) -> bytes:
    try:
        with filesystem.open_binary(path) as file:
            return file_formats.decompress(file, path).read()
    except file_formats.READ_ERRORS as error:
        raise InputError(f"--dataset: {path} cannot be read ({error}); is it complete?") from None


def _documents(source: Source, settings: DataSettings) -> dict[str, bytes]:
    kept = {split: [] for split in SPLITS}
    kept_back = 2 * settings.validation_fraction
    with Progress(f"reading {settings.dataset}") as progress:
        for split, document in source.documents():
            progress.add(1, len(document.text), source.fraction_read)
            if split == "train" and hash_fraction(content_hash(document.text)) < kept_back:
                split = "test"
            kept[split].append(document.text)
    if source.account.bad_records.counts:
        print(f"skipped bad records: {source.account.bad_records}", file=sys.stderr, flush=True)
    # An empty line ends a document.
    return {
        split: "".join(f"{text}\n\n" for text in texts).encode("utf-8", "replace")
        for split, texts in kept.items()
    }


def _refuse_slip(name: str) -> None:
    known = (*enwik8.CORPORA, *WIKITEXT, "python_docs")
    if name not in known and (near := difflib.get_close_matches(name, known, 1, _SLIP)):
        raise InputError(
            f"--dataset={name} is unknown; did you mean {near[0]}? A file is named by its path, "
            f"as ./{name}"
        )
