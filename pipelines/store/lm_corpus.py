"""Running text as ids: what a causal language model reads.

A corpus on disk: an array of ids a split, the vocabulary, a manifest; whole or not there.
"""

import dataclasses
import hashlib
import json
import os
import re
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from pipelines.errors import InputError
from pipelines.progress import Progress
from pipelines.settings import DataSettings
from pipelines.sources import running_text
from pipelines.sources.running_text import SPLITS
from pipelines.store import format, writer
from pipelines.tokenizers import sentencepiece_model, sentencepiece_training
from pipelines.tokenizers.sentencepiece_model import Pieces
from pipelines.tokenizers.symbols import SymbolCollector, Symbols

FORMAT_VERSION = 1
_DTYPES = {"byte": "<u1", "character": "<u2", "word": "<u4"}
# Large enough for every thread of a tokenizer, small enough to show progress.
_CHUNK_BYTES = 4 * 2**20
_WHITE_SPACE = re.compile(rb"[ \n]")
# A SentencePiece vocabulary is trained on the beginning of the training text.
_VOCABULARY_BYTES = 20_000_000


@dataclasses.dataclass(frozen=True)
class Corpus:
    """A text as ids, memory-mapped.

    Attributes:
        path: the folder it lies in.
        description: names the data and their version.
        splits: {"train": ids, "validation": ids, "test": ids}; unsigned integers, [symbols].
        vocabulary: `Symbols` or `Pieces`: size, fingerprint, model_bytes, encode and decode.
        data_fingerprint: hexadecimal; the same for the same ids.
    """

    path: Path
    description: str
    splits: dict[str, np.ndarray]
    vocabulary: Symbols | Pieces
    data_fingerprint: str


def read_vocabulary(model_bytes: bytes) -> Symbols | Pieces:
    """The vocabulary of a corpus from its `model_bytes`.

    Raises:
        InputError: it is none.
    """
    kind = Symbols if model_bytes.startswith(b"{") else Pieces
    return kind.from_bytes(model_bytes)


def open_corpus(settings: DataSettings, cache_dir: str | None = None) -> Corpus:
    """The corpus of these settings, tokenised now if the cache does not have it.

    Args:
        settings: which text, which tokenizer.
        cache_dir: where corpora are kept; settings.cache_dir or ~/.cache/sparse_mixer_tf if None.

    Raises:
        InputError: the data or the settings are wrong, or the text is shorter than a block.
    """
    text = running_text.find(settings)
    identity = _identity(settings, text.description)
    path = _place(settings, identity, cache_dir)
    is_new = not exists(path)
    if is_new:
        _prepare(settings, text, path, identity)
    manifest, splits, model_bytes = read(path)
    corpus = Corpus(
        path, text.description, splits, read_vocabulary(model_bytes), manifest["data_fingerprint"]
    )
    _refuse_short(corpus, settings)
    _announce(corpus, settings.tokenizer, "is written" if is_new else "is ready")
    return corpus


def is_prepared(settings: DataSettings, cache_dir: str | None = None) -> bool:
    """Return whether the cache has the corpus of these settings.

    Raises:
        InputError: the data or the settings are wrong.
    """
    identity = _identity(settings, running_text.find(settings).description)
    return exists(_place(settings, identity, cache_dir))


def _place(settings: DataSettings, identity: dict, cache_dir: str | None) -> Path:
    cache = Path(cache_dir or settings.cache_dir or "~/.cache/sparse_mixer_tf").expanduser()
    return cache / _folder_name(settings, identity)


def _prepare(
    settings: DataSettings, text: running_text.RunningText, path: Path, identity: dict
) -> None:
    _say(f"preparing {text.description} in {path}")
    parts = text.read()
    _refuse_unfit(parts, settings)
    encode, finish, dtype = _encoder(settings, parts["train"])
    total, done = sum(map(len, parts.values())), 0
    try:
        with CorpusWriter(path, dtype) as writer, Progress("tokenising") as progress:
            for split, part in parts.items():
                for chunk in _chunks(part):
                    writer.add(split, encode(chunk))
                    done += len(chunk)
                    progress.show(done / total, f"{done / 1e6:,.1f} MB")
            writer.finish(
                finish().model_bytes,
                {
                    "source": text.description,
                    "made_from": identity,
                    "settings": dataclasses.asdict(settings),
                    "text_bytes": {split: len(part) for split, part in parts.items()},
                },
            )
    except OSError as error:
        raise InputError(
            f"{path} cannot be written ({error.strerror}); choose another --cache_dir"
        ) from None


def _refuse_unfit(parts: dict[str, bytes], settings: DataSettings) -> None:
    for split, part in parts.items():
        if not part.strip():
            raise InputError(
                f"--dataset={settings.dataset}: its {split} split is empty; use a longer text, or "
                "a larger --validation_fraction where documents are divided"
            )
        try:
            for chunk in _chunks(part) if settings.tokenizer != "byte" else ():
                chunk.decode("utf-8")
        except UnicodeDecodeError as error:
            raise InputError(
                f"--dataset={settings.dataset} is not UTF-8 in its {split} split ({error.reason}), "
                f"as --tokenizer={settings.tokenizer} needs; use --tokenizer=byte"
            ) from None


def _encoder(
    settings: DataSettings, train: bytes
) -> tuple[Callable[[bytes], np.ndarray], Callable[[], Symbols | Pieces], np.dtype]:
    """Return a function that encodes a chunk, one that gives the vocabulary, and the dtype."""
    if settings.tokenizer != "sentencepiece":
        collector = SymbolCollector(settings.tokenizer)
        return collector.encode, collector.finish, np.dtype(_DTYPES[settings.tokenizer])
    if settings.vocab_filepath:
        words = sentencepiece_model.load(settings.vocab_filepath)
    else:
        sample = train[:_VOCABULARY_BYTES].decode("utf-8", "ignore").splitlines()
        words = sentencepiece_training.train(sample, settings.vocab_size, settings.vocab_type)
    pieces = Pieces(words)
    dtype = format.token_dtype(pieces.size)
    return lambda chunk: pieces.encode(chunk.decode("utf-8")), lambda: pieces, dtype


def _chunks(part: bytes) -> Iterator[bytes]:
    """A text in pieces that end behind white space, so within no character or word."""
    start = 0
    while start < len(part):
        space = _WHITE_SPACE.search(part, min(start + _CHUNK_BYTES, len(part)))
        end = space.end() if space else len(part)
        yield part[start:end]
        start = end


def _identity(settings: DataSettings, description: str) -> dict:
    """Everything the ids depend on."""
    made_from = {"source": description, "tokenizer": settings.tokenizer, "format": FORMAT_VERSION}
    made_from |= {
        name: getattr(settings, name)
        for name in ("dataset", "max_documents", "validation_fraction")
    }
    if settings.tokenizer == "sentencepiece":
        made_from["vocabulary"] = (
            sentencepiece_model.load(settings.vocab_filepath).fingerprint
            if settings.vocab_filepath
            else f"{settings.vocab_type} {settings.vocab_size}, trained"
        )
    return made_from


def _folder_name(settings: DataSettings, identity: dict) -> str:
    name = Path(settings.dataset)
    name = name.name if name.exists() else settings.dataset
    slug = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")[:40]
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return f"{slug}-{settings.tokenizer}-{digest[:10]}"


def _refuse_short(corpus: Corpus, settings: DataSettings) -> None:
    symbols = len(corpus.splits["train"])
    if symbols <= settings.block_size:
        fix = f"use --block_size={symbols - 1} or less, or " if symbols > 1 else "use "
        raise InputError(
            f"--block_size={settings.block_size} does not fit --dataset={settings.dataset}: its "
            f"training text has {symbols} symbols, one more than a block is the least; {fix}a "
            "longer text"
        )
    for split, ids in corpus.splits.items():
        if len(ids) < 2:
            raise InputError(
                f"--dataset={settings.dataset}: its {split} split has {len(ids)} symbols, two are "
                "the least; use a longer text"
            )


def _announce(corpus: Corpus, tokenizer: str, state: str) -> None:
    counts = ", ".join(f"{split} {len(ids):,}" for split, ids in corpus.splits.items())
    unit = {"sentencepiece": "piece"}.get(tokenizer, tokenizer)
    _say(f"{corpus.path} {state}: {counts} {unit}s of {corpus.vocabulary.size:,} kinds")


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


VOCABULARY = "vocabulary"
# As for a token store: above this, reading every byte would delay each start by seconds.
_LARGEST_CHECKED_BYTES = 2**30


class CorpusWriter:
    """Writes a corpus into a temporary sibling of `path` and renames it when it is complete.

    with CorpusWriter(path, np.dtype("<u1")) as writer:
        writer.add("train", ids)
        writer.finish(model_bytes, {"source": "…"})
    """

    def __init__(self, path: Path, dtype: np.dtype):
        self._path, self._dtype = path, dtype
        path.parent.mkdir(parents=True, exist_ok=True)
        writer.remove_leftovers(path)
        # The name by which `remove_leftovers` knows what a dead process has left.
        name = f".{path.name}.partial-{socket.gethostname()}-{os.getpid()}"
        self._folder = path.parent / name
        self._folder.mkdir()
        self._streams = {split: open(self._folder / split, "wb") for split in SPLITS}  # noqa: SIM115
        self._digests = {split: hashlib.sha256() for split in SPLITS}

    def __enter__(self) -> "CorpusWriter":
        return self

    def __exit__(self, *_) -> None:
        for stream in self._streams.values():
            stream.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def add(self, split: str, ids: np.ndarray) -> None:
        """Appends ids to a split.

        Raises:
            InputError: an id does not fit the dtype.
        """
        most = np.iinfo(self._dtype).max
        if ids.size and ids.max() > most:
            raise InputError(
                f"the text has more than {most + 1:,} different symbols; use --tokenizer=byte"
            )
        data = ids.astype(self._dtype).tobytes()
        self._streams[split].write(data)
        self._digests[split].update(data)

    def finish(self, model_bytes: bytes, description: dict) -> None:
        """Completes the corpus.

        Args:
            model_bytes: the vocabulary.
            description: what the manifest tells beside lengths and checksums.
        """
        files = {}
        for split, stream in self._streams.items():
            files[split] = {"bytes": stream.tell(), "sha256": self._digests[split].hexdigest()}
            stream.flush()
            os.fsync(stream.fileno())
        checksums = [entry["sha256"] for entry in files.values()]
        with open(self._folder / VOCABULARY, "wb") as stream:
            stream.write(model_bytes)
            stream.flush()
            os.fsync(stream.fileno())
        digest = hashlib.sha256(model_bytes).hexdigest()
        files[VOCABULARY] = {"bytes": len(model_bytes), "sha256": digest}
        manifest = {
            "format_version": format.FORMAT_VERSION,
            **description,
            "dtype": self._dtype.str,
            "data_fingerprint": format.fingerprint(checksums),
            "files": files,
        }
        format.write_manifest(self._folder, manifest)
        format.sync_folder(self._folder)
        try:
            os.rename(self._folder, self._path)
        except OSError:
            # Another process finished the same corpus first: theirs holds the same ids.
            if not exists(self._path):
                raise
        format.sync_folder(self._path.parent)


def exists(path: Path) -> bool:
    return (path / format.MANIFEST).is_file()


def read(path: Path) -> tuple[dict, dict[str, np.ndarray], bytes]:
    """Opens and verifies a corpus.

    Returns:
        The manifest, the memory-mapped ids of each split, and the bytes of the vocabulary.

    Raises:
        InputError: there is none, or it is damaged.
    """
    manifest = format.read_manifest(path)
    files = manifest["files"]
    is_checked = sum(entry["bytes"] for entry in files.values()) <= _LARGEST_CHECKED_BYTES
    for name, entry in files.items():
        file = path / name
        is_whole = file.is_file() and file.stat().st_size == entry["bytes"]
        if is_whole and is_checked:
            is_whole = format.checksum(file) == entry["sha256"]
        if not is_whole:
            raise InputError(
                f"{file} does not have the length and checksum of its manifest: the prepared text "
                f"is damaged; remove {path}, it is then prepared again"
            )
    dtype = np.dtype(manifest["dtype"])
    splits = {split: _map(path / split, dtype) for split in SPLITS}
    return manifest, splits, (path / VOCABULARY).read_bytes()


def _map(path: Path, dtype: np.dtype) -> np.ndarray:
    if not path.stat().st_size:
        return np.zeros(0, dtype)
    return np.memmap(path, dtype, mode="r").view(np.ndarray)
