"""Layout of a token store on disk: names, dtypes, manifest, checksums."""

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from pipelines import filesystem
from pipelines.errors import InputError

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
VOCABULARY = "vocabulary/spm.model"
ARRAYS = ("tokens", "sentence_ends", "document_ends")
# A shard is closed at the first document that ends behind so many tokens: 128 MB of uint16.
TOKENS_PER_SHARD = 64 * 2**20
_CHECKSUM_BYTES = 2**20


def shard_name(slice_number: int, shard: int) -> str:
    """Shards are named by their slice; the second one of a slice is `00007-1`."""
    return f"{slice_number:05d}-{shard}" if shard else f"{slice_number:05d}"


def array_path(split: str, name: str, array: str) -> str:
    """Return the path of an array of a shard, relative to the store."""
    return f"{split}/{name}.{array}"


def token_dtype(vocab_size: int) -> np.dtype:
    """The narrowest dtype that holds every id."""
    return np.dtype("<u2" if vocab_size <= 2**16 else "<u4")


def array_dtype(array: str, vocab_size: int) -> np.dtype:
    return token_dtype(vocab_size) if array == "tokens" else np.dtype("<u4")


def fingerprint(checksums: Iterable[str]) -> str:
    """sha256 over the checksums of the arrays, in the order of splits, shards and arrays."""
    return hashlib.sha256("\n".join(checksums).encode()).hexdigest()


def checksum(path: str | Path) -> str:
    """sha256 of a file, hexadecimal."""
    digest = hashlib.sha256()
    with filesystem.open_binary(path) as stream:
        while block := stream.read(_CHECKSUM_BYTES):
            digest.update(block)
    return digest.hexdigest()


def sync_folder(path: Path) -> None:
    """Makes the entries of a folder survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_store(folder: str | Path) -> bool:
    return filesystem.exists(filesystem.join(folder, MANIFEST))


def write_manifest(folder: str | Path, manifest: dict) -> None:
    content = json.dumps(manifest, indent=2) + "\n"
    filesystem.write_whole(filesystem.join(folder, MANIFEST), content.encode())


def read_manifest(folder: str | Path) -> dict:
    """Reads the manifest of a store.

    Raises:
        InputError: there is none, or it is of another format.
    """
    try:
        manifest = json.loads(filesystem.read_bytes(filesystem.join(folder, MANIFEST)))
    except FileNotFoundError:
        raise InputError(
            f"{folder} is no token store: it has no {MANIFEST}; make one with "
            f"python -m pipelines.prepare --dataset=… --output={folder}"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"{filesystem.join(folder, MANIFEST)} cannot be read ({error}); prepare it again"
        ) from None
    version = manifest.get("format_version") if isinstance(manifest, dict) else None
    if version != FORMAT_VERSION:
        raise InputError(
            f"{folder} has token store format {version}, this program reads {FORMAT_VERSION}; "
            "prepare it again in another folder"
        )
    return manifest
