import gzip
import json
import lzma

import pytest

from pipelines.errors import InputError
from pipelines.settings import DataSettings
from pipelines.sources import running_text
from pipelines.sources.source import content_hash, hash_fraction
from tests.pipelines.conftest import made_up_document

TEXT = ("".join(f"line é {number}\n" for number in range(300))).encode()


def read(dataset, **others):
    return running_text.find(DataSettings(dataset=str(dataset), **others)).read()


@pytest.mark.parametrize("tokenizer", ["byte", "character", "word", "sentencepiece"])
@pytest.mark.parametrize("offset", range(12))
def test_parts_are_90_5_and_5_per_cent_and_make_up_the_text(tokenizer, offset):
    text = TEXT[offset:]
    parts = running_text.cut(text, tokenizer)
    assert list(parts) == ["train", "validation", "test"]
    assert b"".join(parts.values()) == text
    for size, share in zip(map(len, parts.values()), (0.9, 0.05, 0.05), strict=True):
        assert size == pytest.approx(share * len(text), abs=10)
    if tokenizer == "byte":
        assert len(parts["train"]) == len(text) * 90 // 100
    elif tokenizer == "character":
        # Whole characters, once the text itself begins with one.
        for split in ("validation", "test"):
            parts[split].decode()
    else:
        assert parts["train"][-1:].isspace() and parts["validation"][-1:].isspace()


@pytest.mark.parametrize("suffix", ["", ".txt", ".gz", ".xz"])
def test_files_are_read_plain_or_compressed(tmp_path, suffix):
    path = tmp_path / f"text{suffix}"
    pack = {".gz": gzip.compress, ".xz": lzma.compress}.get(suffix, bytes)
    path.write_bytes(pack(TEXT))
    assert b"".join(read(path, tokenizer="byte").values()) == TEXT


def test_files_of_a_pattern_follow_each_other_by_name(tmp_path):
    (tmp_path / "b.txt").write_bytes(TEXT[2000:])
    (tmp_path / "a.txt").write_bytes(TEXT[:2000])
    assert b"".join(read(tmp_path / "*.txt", tokenizer="byte").values()) == TEXT


def test_a_cut_off_archive_is_refused(tmp_path):
    (tmp_path / "a.xz").write_bytes(lzma.compress(TEXT)[:-20])
    with pytest.raises(InputError, match="a.xz cannot be read"):
        read(tmp_path / "a.xz")


def test_a_missing_file_is_refused_before_anything_is_read(tmp_path):
    with pytest.raises(InputError, match="there is no file"):
        running_text.find(DataSettings(dataset=str(tmp_path / "none.txt")))


def test_whole_documents_are_divided_by_content_into_three(tmp_path):
    texts = [made_up_document(number) for number in range(300)]
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in texts))
    parts = read(tmp_path / "a.jsonl", validation_fraction=0.2)
    bounds = {"validation": (0.0, 0.2), "test": (0.2, 0.4), "train": (0.4, 1.0)}
    for split, (low, high) in bounds.items():
        inside = [t for t in texts if low <= hash_fraction(content_hash(t)) < high]
        assert len(inside) > 30
        assert parts[split].decode() == "".join(f"{text}\n\n" for text in inside)


def wikitext(folder):
    for name in ("train", "valid", "test"):
        (folder / f"wiki.{name}.tokens").write_text(f" = {name} = \n a <unk> b")


@pytest.mark.parametrize("name", ["wikitext-2", "wikitext-103"])
@pytest.mark.parametrize("nested", [False, True])
def test_wikitext_keeps_its_own_splits(tmp_path, name, nested):
    folder = tmp_path / name if nested else tmp_path
    folder.mkdir(exist_ok=True)
    wikitext(folder)
    parts = read(name, data_dir=str(tmp_path))
    assert parts == {
        split: f" = {stem} = \n a <unk> b\n".encode()
        for split, stem in (("train", "train"), ("validation", "valid"), ("test", "test"))
    }


def test_missing_wikitext_files_are_named(tmp_path):
    wikitext(tmp_path)
    (tmp_path / "wiki.valid.tokens").unlink()
    with pytest.raises(InputError, match="lacks wiki.valid.tokens of --dataset=wikitext-103"):
        read("wikitext-103", data_dir=str(tmp_path))
    with pytest.raises(InputError, match="needs --data_dir"):
        read("wikitext-103")


@pytest.mark.parametrize(
    ("slip", "meant"),
    [("enwiki8", "enwik8"), ("text-8", "text8"), ("wikitext103", "wikitext-103")]
    + [("python-docs", "python_docs"), ("wikitext", "wikitext-2")],
)
def test_a_slip_is_answered_with_the_nearest_name(slip, meant):
    with pytest.raises(InputError, match=f"--dataset={slip} is unknown; did you mean {meant}"):
        running_text.find(DataSettings(dataset=slip))


def test_an_unknown_name_is_refused(tmp_path):
    with pytest.raises(InputError, match="--dataset=nosuchthing"):
        running_text.find(DataSettings(dataset="nosuchthing", data_dir=str(tmp_path)))
