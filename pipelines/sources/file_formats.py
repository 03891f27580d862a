"""The formats of data files: by suffix in any case, and by content where a suffix leaves it open.

A name may end in a compression suffix: `part.json.gz` is JSON that is compressed.
"""

import bz2
import codecs
import gzip
import itertools
import json
import lzma
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath
from typing import Any, BinaryIO

from pipelines.errors import InputError

TEXT, JSON, PARQUET, TSV, CSV = "text", "JSON", "Parquet", "tsv", "csv"
_BY_SUFFIX = {
    ".txt": TEXT, ".text": TEXT, ".md": TEXT, ".rst": TEXT, ".tokens": TEXT, ".raw": TEXT,
    ".jsonl": JSON, ".ndjson": JSON, ".jl": JSON, ".json": JSON,
    ".parquet": PARQUET, ".tsv": TSV, ".csv": CSV,
}  # fmt: skip
_COMPRESSED = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}
_ZSTD = (".zst", ".zstd")
# What reading a damaged or truncated file raises.
READ_ERRORS = (OSError, EOFError, lzma.LZMAError, zlib.error)


def split_name(path: str | Path) -> tuple[str, str]:
    """Return a file's suffix without compression, and the suffix of its compression; lower case.

    >>> split_name("c4-train.00000.JSON.gz")
    ('.json', '.gz')
    """
    name = PurePath(str(path))
    last = name.suffix.lower()
    if last in _COMPRESSED or last in _ZSTD:
        return PurePath(name.stem).suffix.lower(), last
    return last, ""


def has_known_suffix(path: str | Path, formats: tuple[str, ...]) -> bool:
    """Return whether a name ends as files of these formats do."""
    return _BY_SUFFIX.get(split_name(path)[0]) in formats


def format_of(path: str | Path, formats: tuple[str, ...], flag: str = "dataset") -> str:
    """Return the format of a file from its name; a file without a suffix is text.

    Args:
        path: the file.
        formats: those that the caller reads.
        flag: the flag that names the file, for the message.

    Raises:
        InputError: the suffix is unknown, or of a format that the caller does not read.
    """
    suffix, _ = split_name(path)
    found = TEXT if not suffix or suffix[1:].isdigit() else _BY_SUFFIX.get(suffix)
    if found not in formats:
        known = " ".join(name for name, kind in _BY_SUFFIX.items() if kind in formats)
        raise InputError(
            f"--{flag}: {path} ends in {suffix or 'no suffix'}, which is not read here; use "
            f"{known}, each also with .gz, .xz, .bz2 or .zst, or rename the file"
        )
    return found


# The first bytes of formats that a name without a suffix may hide.
_MAGIC = {
    b"PAR1": ".parquet", b"\x1f\x8b": ".gz", b"\xfd7zXZ": ".xz", b"BZh": ".bz2",
    b"\x28\xb5\x2f\xfd": ".zst", b"PK\x03\x04": ".zip",
}  # fmt: skip


def refuse_disguised(path: str | Path, head: bytes) -> None:
    """Refuse a file without a known suffix whose first bytes are of another format than text.

    Args:
        path: the file.
        head: its first bytes, a line or more.

    Raises:
        InputError: naming the suffix that the file should have.
    """
    found = next((suffix for magic, suffix in _MAGIC.items() if head.startswith(magic)), None)
    line = head.partition(b"\n")[0]
    if line.lstrip()[:1] == b"{" and isinstance(parse_json(line)[0], dict):
        found = ".jsonl"
    if found:
        raise InputError(
            f"--dataset: {path} has no suffix and looks like {found}; rename it to end in {found}"
        )


def decompress(stream: BinaryIO, path: str | Path) -> BinaryIO:
    """Return the plain bytes of a stream whose file has this name."""
    _, compression = split_name(path)
    if compression in _COMPRESSED:
        return _COMPRESSED[compression](stream)
    if compression in _ZSTD:
        import pyarrow

        return pyarrow.CompressedInputStream(pyarrow.PythonFile(stream, "r"), "zstd")
    return stream


def lines(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a stream and their numbers from 1, without a byte order mark."""
    for number, line in enumerate(_chunked_lines(stream), 1):
        yield number, line.removeprefix(codecs.BOM_UTF8) if number == 1 else line


def _chunked_lines(stream: BinaryIO) -> Iterator[bytes]:
    """Yield lines by reading blocks, since a zstd stream of pyarrow has no lines of its own."""
    if not type(stream).__module__.startswith("pyarrow"):
        yield from stream
        return
    rest = b""
    while block := stream.read(2**20):
        *whole, rest = (rest + block).split(b"\n")
        yield from (line + b"\n" for line in whole)
    if rest:
        yield rest


def json_records(stream: BinaryIO, path: str | Path) -> Iterator[tuple[int, Any, str]]:
    """Yield the records of a file of JSON lines; `.json` may also be one array or object.

    Yields:
        The line, from 1; the record; and what is wrong with it, "" if nothing. A record of an array
        has its place in the array, from 1, instead of a line.
    """
    if split_name(path)[0] != ".json":
        yield from _json_lines(lines(stream))
        return
    numbered = lines(stream)
    first, head = next(((n, line) for n, line in numbered if line.strip()), (0, b""))
    if not head:
        return
    rest = itertools.chain([(first, head)], numbered)
    value, problem = parse_json(head)
    if head.strip()[:1] in (b"[", b"{") and (problem or isinstance(value, list)):
        # Only an array or an object over several lines is read as a whole.
        rest = list(rest)
        whole, problem = parse_json(b"".join(line for _, line in rest))
        if not problem:
            records = whole if isinstance(whole, list) else [whole]
            yield from ((number, record, "") for number, record in enumerate(records, 1))
            return
    yield from _json_lines(rest)


def _json_lines(numbered: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, Any, str]]:
    for number, line in numbered:
        if line.strip():
            yield number, *parse_json(line)


def parse_json(text: bytes) -> tuple[Any, str]:
    """Return the value of a JSON text, and what is wrong with it, "" if nothing."""
    try:
        return json.loads(text.decode("utf-8")), ""
    except UnicodeDecodeError:
        return None, "invalid UTF-8"
    except RecursionError:
        return None, "JSON nested too deep"
    except ValueError:
        return None, "invalid JSON"


def parquet_records(stream: BinaryIO, columns: list[str]) -> Iterator[tuple[int, dict, str]]:
    """Yield the rows of a Parquet file, numbered from 1; see `json_records`.

    Args:
        stream: the file, which can be sought in.
        columns: names of the fields that are read; the first part of a nested one.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(stream)
        known = [name for name in file.schema_arrow.names if name in columns]
        number = 0
        for batch in file.iter_batches(columns=known or None):
            for row in batch.to_pylist():
                number += 1
                yield number, row, ""
    except pyarrow.ArrowInvalid as error:
        raise OSError(str(error)) from None


def field_of(record: Any, name: str) -> Any:
    """Return a field of a record, of a nested one by `data.text`; None where there is none."""
    if not isinstance(record, dict):
        return None
    if name in record:
        return record[name]
    outer, dot, inner = name.partition(".")
    return field_of(record.get(outer), inner) if dot else None


def describe_encoding(error: UnicodeDecodeError) -> str:
    """Return what a text is that is not UTF-8, as far as its bytes tell."""
    byte = error.object[error.start]
    if error.object[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return "is UTF-16, not UTF-8; convert it, as with iconv -f utf-16 -t utf-8"
    return (
        f"is not UTF-8 (byte 0x{byte:02x}), perhaps Latin-1; convert it, as with "
        "iconv -f latin1 -t utf-8"
    )


def has_surrogate(text: str) -> bool:
    """Return whether a text holds half of a surrogate pair, which no encoding can write."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False
