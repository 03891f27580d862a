"""Files of every format, and of none, as documents."""

import bz2
import gzip
import io
import json
import lzma

import pyarrow
import pytest
from pyarrow import parquet

from pipelines.errors import InputError
from pipelines.settings import DataSettings
from pipelines.sources import file_formats, running_text, text_files
from pipelines.sources.source import Source

TEXTS = [f"Document {n} has a few words." for n in range(30)]
RECORDS = [{"text": text, "url": "x"} for text in TEXTS]
LINES = "\n".join(map(json.dumps, RECORDS)).encode()
COMPRESS = {
    "": lambda data: data,
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".bz2": bz2.compress,
    ".zst": lambda data: pyarrow.compress(data, "zstd", asbytes=True),
}


def texts(dataset, **options):
    settings = DataSettings(dataset=str(dataset), validation_fraction=0.3, **options)
    source = Source(settings)
    return sorted(document.text for _, document in source.documents()), source.account.bad_records


@pytest.mark.parametrize("suffix", [".jsonl", ".ndjson", ".jl", ".json", ".JSONL"])
@pytest.mark.parametrize("compression", COMPRESS)
def test_json_lines_are_read_by_any_of_their_suffixes(tmp_path, suffix, compression):
    path = tmp_path / f"part.00000-of-01024{suffix}{compression}"
    path.write_bytes(COMPRESS[compression](LINES))
    found, bad = texts(path)
    assert found == sorted(TEXTS) and not bad.counts


@pytest.mark.parametrize("indent", [None, 2])
def test_a_json_array_is_read_whole(tmp_path, indent):
    path = tmp_path / "all.json"
    path.write_text(json.dumps(RECORDS, indent=indent))
    assert texts(path)[0] == sorted(TEXTS)


def test_parquet_is_read_by_its_text_column(tmp_path):
    path = tmp_path / "part.parquet"
    columns = {"id": list(range(30)), "body": [{"text": text} for text in TEXTS]}
    parquet.write_table(pyarrow.table(columns), path)
    assert texts(path, text_field="body.text")[0] == sorted(TEXTS)
    with pytest.raises(InputError, match="part.parquet:1 has no text in its field 'text'; it has"):
        texts(path)


def test_another_or_a_nested_field_is_named_by_the_message_and_read(tmp_path):
    path = tmp_path / "nested.jsonl"
    path.write_text("\n".join(json.dumps({"data": {"text": text}}) for text in TEXTS))
    with pytest.raises(InputError, match=r"nested.jsonl:1 .* it has data.text; .*--text_field"):
        texts(path)
    assert texts(path, text_field="data.text")[0] == sorted(TEXTS)


@pytest.mark.parametrize("name", ["a.pdf", "a.docx.gz", "a.py"])
def test_an_unknown_suffix_is_refused_by_name(tmp_path, name):
    (tmp_path / name).write_text("Some words.\n\nMore words.")
    with pytest.raises(InputError, match=rf"{name} ends in .* which is not read here; use .txt"):
        text_files.find(str(tmp_path / name))


def test_records_that_cannot_be_read_are_counted_with_their_line(tmp_path):
    path = tmp_path / "bad.jsonl"
    bad = [b'{"text": "half a \\ud800 pair here"}', b"[" * 100_000, b'{"text": "\xff\xff"}', b"{"]
    path.write_bytes(b"\n".join([LINES, *bad]))
    found, records = texts(path)
    assert found == sorted(TEXTS)
    assert records.first == f"{path}:31: lone surrogate"
    reasons = {"lone surrogate", "JSON nested too deep", "invalid UTF-8", "invalid JSON"}
    assert set(records.counts) == reasons and records.counts.total() == 4


def test_a_byte_order_mark_is_no_part_of_a_record(tmp_path):
    path = tmp_path / "bom.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + LINES)
    found, records = texts(path)
    assert found == sorted(TEXTS) and not records.counts


def test_text_without_spaces_is_text(tmp_path):
    documents = [f"今天天气很好{n}。我们去公园！" for n in range(10)]
    path = tmp_path / "zh.jsonl"
    path.write_text("\n".join(json.dumps({"text": text}) for text in [*documents, "word"]))
    found, records = texts(path)
    assert found == sorted(documents) and dict(records.counts) == {"one word": 1}


def test_a_folder_does_not_hide_a_data_set_of_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c4/en").mkdir(parents=True)
    assert not text_files.is_path("c4/en") and text_files.is_path("./c4/en")


@pytest.mark.parametrize("objective", ["sop", "lm"])
def test_a_pattern_of_splits_keeps_them_apart(tmp_path, objective):
    for split in ("train", "valid", "test"):
        (tmp_path / f"wiki.{split}.txt").write_text(f"some {split} words.\n\nmore {split} words.")
    settings = DataSettings(dataset=str(tmp_path / "wiki.{split}.txt"), tokenizer="byte")
    if objective == "lm":
        parts = running_text.find(settings).read()
        for split, name in (("train", "train"), ("validation", "valid"), ("test", "test")):
            assert parts[split] == f"some {name} words.\n\nmore {name} words.".encode()
    else:
        found = [(split, document.text) for split, document in Source(settings).documents()]
        assert len(found) == 4
        assert all(("valid" in text) == (split == "validation") for split, text in found)


def test_without_a_test_file_the_validation_set_is_cut_in_half(tmp_path):
    (tmp_path / "train.txt").write_text("a b " * 9)
    (tmp_path / "dev.txt").write_text("one two three four")
    settings = DataSettings(dataset=str(tmp_path / "{split}.txt"), tokenizer="byte")
    parts = running_text.find(settings).read()
    assert parts["validation"] + parts["test"] == b"one two three four" and parts["test"]
    (tmp_path / "train.text").write_text("a b")
    with pytest.raises(InputError, match="has no validation file: expected .*dev.text"):
        running_text.find(DataSettings(dataset=str(tmp_path / "{split}.text"), tokenizer="byte"))


def test_a_truncated_archive_names_the_file(tmp_path):
    path = tmp_path / "cut.jsonl.gz"
    path.write_bytes(gzip.compress(LINES)[:-20])
    with pytest.raises(InputError, match="cut.jsonl.gz cannot be read .*is it complete"):
        texts(path)


def test_zstd_lines_are_whole_across_blocks():
    data = b"\n".join(b"x" * 700_000 for _ in range(5))
    stream = pyarrow.CompressedInputStream(
        pyarrow.PythonFile(io.BytesIO(COMPRESS[".zst"](data)), "r"), "zstd"
    )
    assert b"".join(line for _, line in file_formats.lines(stream)) == data


@pytest.mark.parametrize(
    ("data", "suffix"), [(LINES, ".jsonl"), (gzip.compress(b"a b"), ".gz"), (b"PAR1x", ".parquet")]
)
def test_a_file_without_a_suffix_is_not_taken_for_text_if_it_is_something_else(
    tmp_path, data, suffix
):
    path = tmp_path / "part"
    path.write_bytes(data)
    for find in (text_files.find, lambda name: running_text.find(DataSettings(dataset=name))):
        with pytest.raises(InputError, match=f"part has no suffix and looks like {suffix}; rename"):
            find(str(path))
    path.write_bytes(b"{ a text } that begins with a brace")
    assert text_files.find(str(path)) == [path]
