"""enwik8 and text8: where they come from, how they are known to be whole, how they are read."""

import dataclasses
import hashlib
import zipfile
import zlib
from pathlib import Path

from pipelines.errors import InputError


@dataclasses.dataclass(frozen=True)
class PublishedCorpus:
    """Facts of a published text.

    Attributes:
        url: of its archive.
        archive_bytes, archive_sha256: length and checksum of the archive.
        num_bytes, md5: length and checksum of the text in it.
        strip_parts: whether each split loses the white space at its ends.

    References:
        Mahoney, "About the test data", mattmahoney.net/dc/textdata.html.
    """

    url: str
    archive_bytes: int
    archive_sha256: str
    num_bytes: int
    md5: str
    strip_parts: bool


CORPORA = {
    "enwik8": PublishedCorpus(
        url="http://mattmahoney.net/dc/enwik8.zip",
        archive_bytes=36_445_475,
        archive_sha256="547994d9980ebed1288380d652999f38a14fe291a6247c157c3d33d4932534bc",
        num_bytes=100_000_000,
        md5="a1fa5ffddb56f4953e226637dabbb36a",
        strip_parts=False,
    ),
    "text8": PublishedCorpus(
        url="http://mattmahoney.net/dc/text8.zip",
        archive_bytes=31_344_016,
        archive_sha256="a6640522afe85d1963ad56c05b0ede0a0c000dddc9671758a6cc09b7a38e5232",
        num_bytes=100_000_000,
        md5="3bea1919949baf155f99411df5fada7e",
        strip_parts=True,
    ),
}


def find(name: str, data_dir: str | None) -> Path:
    """The text or its archive in a folder, or in the folder of its name there.

    Raises:
        InputError: neither is there.
    """
    fetch = f"python -m pipelines.download --dataset={name} --data_dir={data_dir or 'DIR'}"
    if not data_dir:
        raise InputError(
            f"--dataset={name} needs --data_dir, the folder with {name} or {name}.zip; fetch it "
            f"with {fetch}"
        )
    folder = Path(data_dir).expanduser()
    for path in (folder / name, folder / f"{name}.zip", folder / name / name):
        if path.is_file():
            return path
    if (archive := folder / name / f"{name}.zip").is_file():
        return archive
    raise InputError(f"--data_dir={data_dir} has neither {name} nor {name}.zip; fetch it: {fetch}")


def read(name: str, path: Path) -> bytes:
    """The whole text, checked.

    Raises:
        InputError: it cannot be read, or is not what was published.
    """
    try:
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                text = archive.read(name)
        else:
            text = path.read_bytes()
    except (OSError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path} cannot be read ({error}); remove it, fetch it again") from None
    corpus = CORPORA[name]
    if len(text) != corpus.num_bytes:
        raise InputError(
            f"{path} holds {len(text):,} bytes, {name} has {corpus.num_bytes:,}; fetch it again, "
            f"or name a part of it as a file: --dataset={path}"
        )
    if hashlib.md5(text, usedforsecurity=False).hexdigest() != corpus.md5:
        raise InputError(f"{path} is not {name}: its MD5 is not {corpus.md5}; fetch it again")
    return text


def closed(part: bytes) -> bytes:
    """A part that ends with a newline: published programs read one behind the last line."""
    return part if part.endswith(b"\n") else part + b"\n"


def splits(name: str, text: bytes) -> dict[str, bytes]:
    """The published 90, 5 and 5 per cent of a text."""
    first, second = len(text) * 90 // 100, len(text) * 95 // 100
    parts = {"train": text[:first], "validation": text[first:second], "test": text[second:]}
    if CORPORA[name].strip_parts:
        parts = {split: part.strip() for split, part in parts.items()}
    return {split: closed(part) for split, part in parts.items()}
