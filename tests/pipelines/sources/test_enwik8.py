import dataclasses
import hashlib
import zipfile

import numpy as np
import pytest

from pipelines.errors import InputError
from pipelines.sources import enwik8
from pipelines.tokenizers.symbols import SymbolCollector
from tests.reference_files import read_arrays, reference_path

TEXT = b" one two  three\nfour\n" * 50


@pytest.fixture
def small(monkeypatch):
    """enwik8 and text8 of another content."""
    for name, corpus in enwik8.CORPORA.items():
        digest = hashlib.md5(TEXT).hexdigest()
        corpus = dataclasses.replace(corpus, num_bytes=len(TEXT), md5=digest)
        monkeypatch.setitem(enwik8.CORPORA, name, corpus)


def reference_parts(name):
    """The raw parts that the fixture's symbol files were written from, and its ids."""
    parts = {}
    for split, stem in (("train", "train"), ("validation", "valid"), ("test", "test")):
        path = reference_path("brainformer", f"data_{name}/{stem}.txt")
        lines = path.read_text().split("\n")
        if name == "enwik8like":
            parts[split] = b"\n".join(bytes(map(int, line.split())) for line in lines)
        else:
            parts[split] = "".join(lines).replace(" ", "").replace("_", " ").encode()
    return parts, read_arrays("brainformer", f"data_{name}")


# Not `enwik8like` by characters: its symbols are bytes, and two of them are parts of a character.
@pytest.mark.parametrize(
    ("name", "tokenizer"),
    [("enwik8like", "byte"), ("text8like", "byte"), ("text8like", "character")],
)
def test_ids_are_those_of_the_published_program(name, tokenizer):
    parts, expected = reference_parts(name)
    collector = SymbolCollector(tokenizer)
    for split, key in (("train", "train"), ("validation", "valid"), ("test", "test")):
        ids = collector.encode(enwik8.closed(parts[split]))
        assert np.array_equal(ids, expected[key])
        length = len(ids) // 4
        assert np.array_equal(ids[: 4 * length].reshape(4, length), expected[f"{key}_b"])
    assert collector.finish().size == expected["vocab_size"]


def test_a_text_is_cut_at_90_and_95_per_cent_and_each_part_closed():
    raw = b"0123456789\n" * 10 + b"tail 67890"
    parts = enwik8.splits("enwik8", raw)
    assert parts["train"] == raw[:108] + b"\n"
    assert parts["validation"] == raw[108:114] + b"\n"
    assert parts["test"] == raw[114:] + b"\n"
    assert enwik8.closed(b"ends\n") == b"ends\n"


def test_the_parts_of_text8_lose_the_white_space_at_their_ends():
    raw = (b" ab cdefgh" * 20).ljust(200)
    parts = enwik8.splits("text8", raw)
    assert parts["train"] == raw[:180].strip() + b"\n"
    assert parts["validation"] == raw[180:190].strip() + b"\n"


@pytest.mark.parametrize("where", ["enwik8", "enwik8.zip", "enwik8/enwik8", "enwik8/enwik8.zip"])
def test_the_text_is_found_raw_or_archived(tmp_path, small, where):
    path = tmp_path / where
    path.parent.mkdir(exist_ok=True)
    if path.suffix:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("enwik8", TEXT)
    else:
        path.write_bytes(TEXT)
    assert enwik8.find("enwik8", str(tmp_path)) == path
    assert enwik8.read("enwik8", path) == TEXT


def test_without_the_text_the_command_that_fetches_it_is_told(tmp_path):
    with pytest.raises(InputError, match="python -m pipelines.download --dataset=text8 --data_dir"):
        enwik8.find("text8", str(tmp_path))
    with pytest.raises(InputError, match="--dataset=text8 needs --data_dir"):
        enwik8.find("text8", None)


@pytest.mark.parametrize(
    ("content", "message"), [(TEXT[:-1], "holds 1,049 bytes"), (TEXT[:-1] + b"x", "MD5")]
)
def test_another_text_of_that_name_is_refused(tmp_path, small, content, message):
    (tmp_path / "enwik8").write_bytes(content)
    with pytest.raises(InputError, match=message):
        enwik8.read("enwik8", tmp_path / "enwik8")


def test_a_broken_archive_is_refused(tmp_path):
    (tmp_path / "enwik8.zip").write_bytes(b"PK, but no archive")
    with pytest.raises(InputError, match="enwik8.zip cannot be read"):
        enwik8.read("enwik8", tmp_path / "enwik8.zip")
