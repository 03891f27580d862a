"""Fetches a published text: python -m pipelines.download --dataset=enwik8 --data_dir=DIR."""

import difflib
import hashlib
import os
import sys
import tempfile
import urllib.request
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path

from absl import app, flags

from pipelines import flags as data_flags
from pipelines.errors import InputError
from pipelines.progress import Progress
from pipelines.sources.enwik8 import CORPORA, PublishedCorpus
from pipelines.store import format

_TIMEOUT_SECONDS = 30
_READ_BYTES = 2**18


def download(name: str, data_dir: str | Path) -> Path:
    """Fetches the archive of a corpus into a folder, unless it is there already.

    It is written under another name, and renamed once its length and checksum have been verified.

    Args:
        name: "enwik8" or "text8".
        data_dir: the folder, made if need be.

    Returns:
        Where the archive lies.

    Raises:
        InputError: the name is unknown, the network or the folder fails, or the archive that comes
            is not the published one.
    """
    if name not in CORPORA:
        near = difflib.get_close_matches(name, CORPORA, 1)
        hint = f"did you mean {near[0]}?" if near else f"use {' or '.join(CORPORA)}"
        raise InputError(f"--dataset={name} cannot be downloaded; {hint}")
    corpus, path = CORPORA[name], Path(data_dir).expanduser() / f"{name}.zip"
    if _is_whole(path, corpus):
        _say(f"{path} is there, with the right checksum")
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, partial = tempfile.mkstemp(prefix=f".{path.name}.partial-", dir=path.parent)
    except OSError as error:
        raise InputError(
            f"--data_dir={data_dir} cannot be written ({error.strerror}); choose another folder"
        ) from None
    try:
        with open(descriptor, "wb") as file:
            _fetch(name, corpus, file)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(partial, 0o644)
        os.replace(partial, path)
    except (OSError, HTTPException) as error:
        # A refused connection, an unknown host and a full disk all come this way.
        raise InputError(
            f"{corpus.url} could not be fetched into {path.parent} "
            f"({' '.join(str(error).split())}); check the network, or put {name}.zip there yourself"
        ) from None
    finally:
        Path(partial).unlink(missing_ok=True)
    _say(f"{path} is complete: {corpus.archive_bytes:,} bytes with the right checksum")
    return path


def _fetch(name: str, corpus: PublishedCorpus, file) -> None:
    digest, received = hashlib.sha256(), 0
    with (
        urllib.request.urlopen(corpus.url, timeout=_TIMEOUT_SECONDS) as response,
        Progress(f"fetching {name}") as progress,
    ):
        while received <= corpus.archive_bytes and (data := response.read(_READ_BYTES)):
            file.write(data)
            digest.update(data)
            received += len(data)
            progress.show(
                min(1.0, received / corpus.archive_bytes),
                f"{received / 1e6:,.1f} of {corpus.archive_bytes / 1e6:,.1f} MB",
            )
    if received != corpus.archive_bytes:
        amount = f"{received:,}" if received < corpus.archive_bytes else f"more than {received:,}"
        raise InputError(
            f"{corpus.url} gave {amount} bytes instead of {corpus.archive_bytes:,}; nothing was "
            "kept, try again"
        )
    if digest.hexdigest() != corpus.archive_sha256:
        raise InputError(
            f"{corpus.url} gave a file of SHA-256 {digest.hexdigest()[:16]}… instead of "
            f"{corpus.archive_sha256[:16]}…; nothing was kept, try again"
        )


def _is_whole(path: Path, corpus: PublishedCorpus) -> bool:
    is_long_enough = path.is_file() and path.stat().st_size == corpus.archive_bytes
    return is_long_enough and format.checksum(path) == corpus.archive_sha256


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def _parse(argv: Sequence[str]) -> list[str]:
    try:
        positional = flags.FLAGS(list(argv))
        if len(positional) > 1:
            raise InputError(f"{positional[1]!r} is not a flag; flags are written --name=value")
        if not flags.FLAGS.data_dir:
            raise InputError("--data_dir is required: the folder to write to")
        if not flags.FLAGS["dataset"].present:
            raise InputError(f"--dataset is required: {' or '.join(CORPORA)}")
    except (flags.Error, OSError, InputError) as error:
        _say(f"error: {' '.join(str(error).split())}")
        sys.exit(2)
    return positional


def _run(_: list[str]) -> int:
    try:
        settings = data_flags.from_flags()
        download(settings.dataset, settings.data_dir)
    except InputError as error:
        _say(f"error: {error}")
        return 2
    except KeyboardInterrupt:
        _say("interrupted: nothing was kept")
        return 1
    return 0


def main() -> None:
    """Runs the command line."""
    app.run(_run, flags_parser=_parse)


if __name__ == "__main__":
    main()
