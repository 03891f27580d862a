"""Raw text to tokens on disk, once: python -m pipelines.prepare --dataset=… --output=DIR."""

import dataclasses
import errno
import hashlib
import json
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from absl import app, flags

from pipelines import flags as data_flags
from pipelines import (
    sentences,
    sources,
    store_format,
    tokenising,
    vocabulary,
    vocabulary_training,
)
from pipelines.errors import InputError
from pipelines.progress import Progress
from pipelines.settings import DataSettings
from pipelines.store import TokenStore
from pipelines.store_writer import StoreWriter
from pipelines.vocabulary import Vocabulary

# A vocabulary is trained on an even sample of so much text, drawn from at most so much.
_SAMPLE_CHARACTERS = 20_000_000
_SAMPLED_CHARACTERS = 400_000_000
# What a store depends on beside the text itself; sequence length, objective and masking do not.
_STORE_SETTINGS = ("dataset", "data_dir", "sentence_split", "max_documents", "validation_fraction")


def open_or_prepare(settings: DataSettings, cache_dir: str | None = None) -> TokenStore:
    """The token store of these settings, made now if the cache does not have it.

    Args:
        settings: what to tokenise and how.
        cache_dir: where stores are kept; settings.cache_dir or ~/.cache/sparse_mixer_tf if None.

    Raises:
        InputError: the data or the settings are wrong.
    """
    cache = Path(cache_dir or settings.cache_dir or "~/.cache/sparse_mixer_tf").expanduser()
    source, words = sources.Source(settings), _given_vocabulary(settings)
    path = cache / _store_name(settings, _identity(settings, source, words))
    return _prepare(settings, source, words, path)


def open_prepared(settings: DataSettings, cache_dir: str | None = None) -> TokenStore | None:
    """The token store of these settings if the cache has it; nothing is made.

    Raises:
        InputError: the data or the settings are wrong.
    """
    cache = Path(cache_dir or settings.cache_dir or "~/.cache/sparse_mixer_tf").expanduser()
    source, words = sources.Source(settings), _given_vocabulary(settings)
    path = cache / _store_name(settings, _identity(settings, source, words))
    return TokenStore.open(path, words) if path.is_dir() else None


def prepare(settings: DataSettings, output: str | Path) -> TokenStore:
    """Makes the token store `output`, or opens it if it was made from the same settings.

    Raises:
        InputError: the data or the settings are wrong, or output holds something else.
    """
    source, words = sources.Source(settings), _given_vocabulary(settings)
    return _prepare(settings, source, words, Path(output).expanduser())


def _prepare(
    settings: DataSettings, source: sources.Source, words: Vocabulary | None, path: Path
) -> TokenStore:
    identity = _identity(settings, source, words)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        _refuse_other_store(path, identity)
        return _announce(TokenStore.open(path, words), "is ready")
    _check_writable(path)
    _say(f"preparing {source.description} in {path}")
    if words is None:
        words = _train_vocabulary(settings, source)
    _write(settings, source, words, path, identity)
    return _announce(TokenStore.open(path, words), "is written")


def _write(
    settings: DataSettings, source: sources.Source, words: Vocabulary, path: Path, identity: dict
) -> None:
    texts = ((split, document.text) for split, document in source.documents())
    with StoreWriter(path, words) as writer, Progress("tokenising") as progress:
        for chunk in tokenising.tokenise(texts, words, settings.sentence_split):
            writer.add(*chunk[:4])
            progress.add(len(chunk.document_lengths), chunk.characters, source.fraction_read)
        writer.finish(
            {
                "source": source.description,
                "made_from": identity,
                "settings": dataclasses.asdict(settings),
                "bad_records": dict(source.bad_records.counts),
                "duplicates_dropped": source.duplicates_dropped,
            }
        )


def _given_vocabulary(settings: DataSettings) -> Vocabulary | None:
    return vocabulary.load(settings.vocab_filepath) if settings.vocab_filepath else None


def _train_vocabulary(settings: DataSettings, source: sources.Source) -> Vocabulary:
    sample = _sample(source)
    lines = (line for text in sample for line in sentences.split(text, settings.sentence_split))
    return vocabulary_training.train(lines, settings.vocab_size, settings.vocab_type)


def _sample(source: sources.Source) -> list[str]:
    """An even sample of the training documents: those whose content hash is low enough."""
    sample, size, threshold, read = [], 0, 1.0, 0
    with Progress("reading for the vocabulary") as progress:
        for split, document in source.documents():
            read += len(document.text)
            progress.add(
                1, len(document.text), max(source.fraction_read, read / _SAMPLED_CHARACTERS)
            )
            # The second half of the hash: the first one has divided train from validation.
            rank = sources.hash_fraction(sources.content_hash(document.text)[8:])
            if split == "train" and rank < threshold:
                sample.append((rank, document.text))
                size += len(document.text)
            while size > _SAMPLE_CHARACTERS and len(sample) > 1:
                threshold /= 2
                sample = [kept for kept in sample if kept[0] < threshold] or sample[:1]
                size = sum(len(text) for _, text in sample)
            if read >= _SAMPLED_CHARACTERS:
                break
    return [text for _, text in sample]


def _identity(settings: DataSettings, source: sources.Source, words: Vocabulary | None) -> dict:
    """Everything the bytes of a store depend on."""
    made_from = {name: getattr(settings, name) for name in _STORE_SETTINGS}
    if words is None:
        made_from["vocabulary"] = f"{settings.vocab_type} {settings.vocab_size}, trained"
    else:
        made_from["vocabulary"] = words.fingerprint
    return made_from | {"source": source.description, "format": store_format.FORMAT_VERSION}


def _store_name(settings: DataSettings, identity: dict) -> str:
    slug = re.sub(r"[^A-Za-z0-9]+", "_", Path(settings.dataset).name).strip("_")[:40]
    if "/" in settings.dataset and not Path(settings.dataset).exists():
        slug = re.sub(r"[^A-Za-z0-9]+", "_", settings.dataset).strip("_")[-40:]
    if settings.vocab_filepath:
        words = Path(settings.vocab_filepath).stem
    else:
        words = f"{settings.vocab_type}_{settings.vocab_size}"
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return f"{slug}-{words}-{digest[:10]}"


def _check_writable(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not os.access(path.parent, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise InputError(
            f"{path} cannot be written ({error.strerror}); choose another --output or --cache_dir"
        ) from None


def _refuse_other_store(path: Path, identity: dict) -> None:
    there = store_format.read_manifest(path).get("made_from", {})
    differences = [
        f"{name} {there.get(name)!r} instead of {value!r}"
        for name, value in identity.items()
        if there.get(name) != value
    ]
    if differences:
        raise InputError(
            f"--output={path} is a token store of another making ({'; '.join(differences)}); "
            "choose another folder, or remove it"
        )


def _announce(store: TokenStore, state: str) -> TokenStore:
    counts = ", ".join(
        f"{split} {count['documents']:,} documents and {count['tokens']:,} tokens"
        for split, count in store.manifest["counts"].items()
    )
    _say(f"{store.path} {state}: {counts}")
    if bad := store.manifest["bad_records"]:
        _say("skipped bad records: " + ", ".join(f"{n} {reason}" for reason, n in bad.items()))
    if dropped := store.manifest["duplicates_dropped"]:
        _say(f"dropped {dropped} training documents that are copies of validation documents")
    if not store.checksums_verified:
        _say("the store is larger than 1 GB: sizes were checked, checksums were not")
    return store


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _parse(argv: Sequence[str]) -> list[str]:
    try:
        positional = flags.FLAGS(list(argv))
        if len(positional) > 1:
            raise InputError(f"{positional[1]!r} is not a flag; flags are written --name=value")
        if not flags.FLAGS.output:
            raise InputError("--output is required: the folder to write")
    except (flags.Error, OSError, InputError) as error:
        _say(f"error: {' '.join(str(error).removeprefix('ERROR:: ').split())}")
        sys.exit(2)
    return positional


def _run(_: list[str]) -> int:
    try:
        prepare(data_flags.from_flags(), flags.FLAGS.output)
    except InputError as error:
        _say(f"error: {error}")
        return 2
    except KeyboardInterrupt:
        _say("interrupted: nothing was written")
        return 1
    return 0


def main() -> None:
    """Runs the command line."""
    flags.DEFINE_string("output", None, "Folder to write the token store to.")
    app.run(_run, flags_parser=_parse)


if __name__ == "__main__":
    main()
