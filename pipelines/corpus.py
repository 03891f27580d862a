"""Running text as ids: what a causal language model reads."""

import dataclasses
import hashlib
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from pipelines import corpus_store, store_format
from pipelines.errors import InputError
from pipelines.progress import Progress
from pipelines.settings import DataSettings
from pipelines.sources import running_text
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
    is_new = not corpus_store.exists(path)
    if is_new:
        _prepare(settings, text, path, identity)
    manifest, splits, model_bytes = corpus_store.read(path)
    corpus = Corpus(
        path, text.description, splits, read_vocabulary(model_bytes), manifest["data_fingerprint"]
    )
    _refuse_short(corpus, settings)
    _announce(corpus, settings.tokenizer, "is written" if is_new else "is ready")
    return corpus


def is_prepared(settings: DataSettings, cache_dir: str | None = None) -> bool:
    """Whether the cache has the corpus of these settings.

    Raises:
        InputError: the data or the settings are wrong.
    """
    identity = _identity(settings, running_text.find(settings).description)
    return corpus_store.exists(_place(settings, identity, cache_dir))


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
        with corpus_store.CorpusWriter(path, dtype) as writer, Progress("tokenising") as progress:
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
    """How to encode a chunk, how to get the vocabulary afterwards, and the dtype of ids."""
    if settings.tokenizer != "sentencepiece":
        collector = SymbolCollector(settings.tokenizer)
        return collector.encode, collector.finish, np.dtype(_DTYPES[settings.tokenizer])
    if settings.vocab_filepath:
        words = sentencepiece_model.load(settings.vocab_filepath)
    else:
        sample = train[:_VOCABULARY_BYTES].decode("utf-8", "ignore").splitlines()
        words = sentencepiece_training.train(sample, settings.vocab_size, settings.vocab_type)
    pieces = Pieces(words)
    dtype = store_format.token_dtype(pieces.size)
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
