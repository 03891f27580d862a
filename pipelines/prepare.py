"""Raw text to tokens on disk, once: python -m pipelines.prepare --dataset=… --output=DIR."""

import dataclasses
import errno
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from absl import app, flags, logging

from pipelines import filesystem
from pipelines import flags as data_flags
from pipelines.errors import InputError
from pipelines.progress import Progress
from pipelines.settings import DataSettings
from pipelines.sources import source as sources
from pipelines.sources import text_files, work_units
from pipelines.store import (
    beam,
    distributed_writer,
    format,
    tokenize,
)
from pipelines.store import (
    identity as store_identity,
)
from pipelines.store.store import TokenStore
from pipelines.store.writer import StoreWriter
from pipelines.tokenizers import sentencepiece_model, sentencepiece_training
from pipelines.tokenizers.sentencepiece_model import Vocabulary


def open_or_prepare(settings: DataSettings, cache_dir: str | None = None) -> TokenStore:
    """The token store of these settings, made now if the cache does not have it.

    Args:
        settings: what to tokenise and how; a dataset that is a token store itself is opened.
        cache_dir: where stores are kept; settings.cache_dir or ~/.cache/sparse_mixer_tf if None.

    Raises:
        InputError: the data or the settings are wrong.
    """
    words, cache = _given_vocabulary(settings), _cache(settings, cache_dir)
    if _is_store(settings.dataset):
        return _announce(
            TokenStore.open(filesystem.place(settings.dataset), words, cache), "is ready"
        )
    source = sources.Source(settings)
    path = cache / store_identity.store_name(
        settings, store_identity.made_from(settings, source, words)
    )
    return _prepare(settings, source, words, path)


def open_prepared(settings: DataSettings, cache_dir: str | None = None) -> TokenStore | None:
    """The token store of these settings if the cache has it; nothing is made.

    Raises:
        InputError: the data or the settings are wrong.
    """
    words, cache = _given_vocabulary(settings), _cache(settings, cache_dir)
    if _is_store(settings.dataset):
        return TokenStore.open(filesystem.place(settings.dataset), words, cache)
    identity = store_identity.made_from(settings, sources.Source(settings), words)
    path = cache / store_identity.store_name(settings, identity)
    return TokenStore.open(path, words) if path.is_dir() else None


def prepare(settings: DataSettings, output: str | Path) -> TokenStore:
    """Makes the token store `output` in this process, or opens it if it is there.

    Raises:
        InputError: the data or the settings are wrong, or output holds something else.
    """
    if filesystem.is_remote(output):
        raise InputError(
            f"--output={output} is not on this machine: --runner=beam writes there, the local "
            "runner to a folder here, which may be copied as it is"
        )
    source, words = sources.Source(settings), _given_vocabulary(settings)
    return _prepare(settings, source, words, Path(output).expanduser())


def prepare_on_beam(
    settings: DataSettings, output: str | Path, pipeline_options: str | None = None
) -> TokenStore:
    """Makes the token store `output` on Apache Beam, or opens it if it is there.

    The same store, to the byte, as `prepare` makes. What is there of it already is kept.

    Args:
        settings: what to tokenise and how.
        output: a folder that every worker sees.
        pipeline_options: as in `beam_runner.options`.

    Raises:
        InputError: the data or the settings are wrong, or output holds something else.
    """
    options = beam.options(pipeline_options)
    source = sources.Source(settings, beam_options=pipeline_options)
    words, path = _given_vocabulary(settings), filesystem.place(output)
    identity = store_identity.made_from(settings, source, words)
    if format.is_store(path):
        store_identity.refuse_other_store(path, identity)
        return _announce(TokenStore.open(path, words), "is ready")
    work = distributed_writer.Unfinished(
        str(path), settings, work_units.SLICE_BYTES, format.TOKENS_PER_SHARD
    )
    if distributed_writer.is_there(path):
        work.refuse_other(identity)
        _say(f"going on with {source.description} in {path}")
        words = words or work.vocabulary()
    else:
        _refuse_other_folder(path)
        _say(f"preparing {source.description} in {path}")
    work.start(identity, words or sentencepiece_training.train_vocabulary(settings, source))
    items = source.slices()
    beam.write(work, items, options)
    work.finish(source, items, _description(settings, source, identity))
    return _announce(TokenStore.open(path), "is written")


def _prepare(
    settings: DataSettings, source: sources.Source, words: Vocabulary | None, path: Path
) -> TokenStore:
    identity = store_identity.made_from(settings, source, words)
    if format.is_store(path):
        store_identity.refuse_other_store(path, identity)
        return _announce(TokenStore.open(path, words), "is ready")
    _refuse_other_folder(path)
    _check_writable(path)
    _say(f"preparing {source.description} in {path}")
    words = words or sentencepiece_training.train_vocabulary(settings, source)
    _write(settings, source, words, path, identity)
    return _announce(TokenStore.open(path, words), "is written")


def _write(
    settings: DataSettings, source: sources.Source, words: Vocabulary, path: Path, identity: dict
) -> None:
    account, held_out = source.start(), set()
    with (
        StoreWriter(path, words, format.TOKENS_PER_SHARD) as writer,
        Progress("tokenising") as progress,
    ):
        for item in source.slices():
            with writer.slice(item.number) as shards:
                found = source.read(item, account, held_out, source.room(item, account.read))
                texts = ((split, document.text) for split, document in found)
                for chunk in tokenize.tokenise(texts, words, settings.sentence_split):
                    shards.add(*chunk[:4])
                    progress.add(
                        len(chunk.document_lengths), chunk.characters, source.fraction_read
                    )
        source.refuse_empty(account)
        writer.finish(_description(settings, source, identity) | account.outcome())


def _description(settings: DataSettings, source: sources.Source, identity: dict) -> dict:
    return {
        "source": source.description,
        "made_from": identity,
        "settings": dataclasses.asdict(settings),
    }


def _cache(settings: DataSettings, cache_dir: str | None) -> Path:
    cache = cache_dir or settings.cache_dir or "~/.cache/sparse_mixer_tf"
    if filesystem.is_remote(cache):
        raise InputError(
            f"--cache_dir={cache} is not on this machine; a store that lies there is read by its "
            "own name, as --dataset=gs://bucket/tokens"
        )
    return Path(cache).expanduser()


def _is_store(dataset: str) -> bool:
    return text_files.is_path(dataset) and format.is_store(filesystem.place(dataset))


def _given_vocabulary(settings: DataSettings) -> Vocabulary | None:
    return sentencepiece_model.load(settings.vocab_filepath) if settings.vocab_filepath else None


def _check_writable(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not os.access(path.parent, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise InputError(
            f"{path} cannot be written ({error.strerror}); choose another --output or --cache_dir"
        ) from None


def _refuse_other_folder(path: str | Path) -> None:
    if distributed_writer.is_there(path):
        raise InputError(
            f"--output={path} is the beginning of a token store; --runner=beam goes on with it, "
            "or remove it"
        )
    if filesystem.names(path) or (filesystem.exists(path) and not filesystem.is_folder(path)):
        format.read_manifest(path)


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
    if filesystem.is_remote(store.path):
        _say("its shards are copied here and checked when their examples come")
    elif not store.checksums_verified:
        _say("the store is large: sizes are checked, checksums are not")
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
        options = flags.FLAGS.beam_pipeline_options
        if options and flags.FLAGS.runner != "beam":
            raise InputError(f"--beam_pipeline_options={options} goes with --runner=beam; add it")
    except (flags.Error, OSError, InputError) as error:
        _say(f"error: {' '.join(str(error).removeprefix('ERROR:: ').split())}")
        sys.exit(2)
    return positional


def _run(_: list[str]) -> int:
    on_beam, output = flags.FLAGS.runner == "beam", flags.FLAGS.output
    if not flags.FLAGS["verbosity"].present:
        logging.set_verbosity(logging.WARNING)
    try:
        settings = data_flags.from_flags()
        if on_beam:
            prepare_on_beam(settings, output, flags.FLAGS.beam_pipeline_options)
        else:
            prepare(settings, output)
    except InputError as error:
        _say(f"error: {error}")
        return 2
    except KeyboardInterrupt:
        rest = "run the same command again to go on" if on_beam else "nothing was written"
        _say(f"interrupted: {rest}")
        return 1
    return 0


def main() -> None:
    """Runs the command line."""
    flags.DEFINE_string("output", None, "Folder to write the token store to.")
    flags.DEFINE_enum(
        "runner",
        "local",
        ["local", "beam"],
        "Where it is made: in this process, or on Apache Beam, which may write to gs://, too.",
    )
    flags.DEFINE_string(
        "beam_pipeline_options",
        None,
        "Options of --runner=beam as for tfds build: runner=DataflowRunner,project=…; without them "
        "DirectRunner, on this machine.",
    )
    app.run(_run, flags_parser=_parse)


if __name__ == "__main__":
    main()
