"""How a token store lies on disk: names, dtypes, manifest, checksums."""

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from pipelines.errors import InputError

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
VOCABULARY = "vocabulary/spm.model"
SPLITS = ("train", "validation")
ARRAYS = ("tokens", "sentence_ends", "document_ends")
# A shard is closed at the first document that ends behind so many tokens: 128 MB of uint16.
TOKENS_PER_SHARD = 64 * 2**20
_CHECKSUM_BYTES = 2**20


def array_path(split: str, shard: int, array: str) -> str:
    """Where an array of a shard lies, relative to the store."""
    return f"{split}/{shard:05d}.{array}"


def token_dtype(vocab_size: int) -> np.dtype:
    """The narrowest dtype that holds every id."""
    return np.dtype("<u2" if vocab_size <= 2**16 else "<u4")


def array_dtype(array: str, vocab_size: int) -> np.dtype:
    return token_dtype(vocab_size) if array == "tokens" else np.dtype("<u4")


def fingerprint(checksums: Iterable[str]) -> str:
    """sha256 over the checksums of the arrays, in the order of splits, shards and arrays."""
    return hashlib.sha256("\n".join(checksums).encode()).hexdigest()


def checksum(path: Path) -> str:
    """sha256 of a file, hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
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


def write_manifest(folder: Path, manifest: dict) -> None:
    with open(folder / MANIFEST, "w", encoding="utf-8") as stream:
        json.dump(manifest, stream, indent=2)
        stream.write("\n")
        stream.flush()
        os.fsync(stream.fileno())


def read_manifest(folder: Path) -> dict:
    """Reads the manifest of a store.

    Raises:
        InputError: there is none, or it is of another format.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            f"{folder} is no token store: it has no {MANIFEST}; make one with "
            f"python -m pipelines.prepare --dataset=… --output={folder}"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"{folder / MANIFEST} cannot be read ({error}); prepare it again"
        ) from None
    version = manifest.get("format_version") if isinstance(manifest, dict) else None
    if version != FORMAT_VERSION:
        raise InputError(
            f"{folder} has token store format {version}, this program reads {FORMAT_VERSION}; "
            "prepare it again in another folder"
        )
    return manifest
