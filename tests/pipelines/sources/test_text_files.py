import bz2
import gzip
import json
import lzma

import pytest

from pipelines.errors import InputError
from pipelines.sources import text_files
from pipelines.sources.records import BadRecords

TEXTS = ["The first document.\nIt has two lines.", "The second, with naïve “quotes”."]


def read(path, most_bad=100):
    bad = BadRecords(most_bad)
    return [
        document.text for document in text_files.TextFiles(str(path)).documents("train", bad)
    ], bad


@pytest.mark.parametrize(
    ("suffix", "compress"),
    [("", bytes), (".gz", gzip.compress), (".xz", lzma.compress), (".bz2", bz2.compress)],
)
def test_text_and_json_lines_are_read_plain_and_compressed(tmp_path, suffix, compress):
    plain, lines = tmp_path / f"a.txt{suffix}", tmp_path / f"a.jsonl{suffix}"
    plain.write_bytes(compress("\n\n".join(TEXTS).encode()))
    lines.write_bytes(compress("\n".join(json.dumps({"text": t}) for t in TEXTS).encode()))
    assert [text.strip() for text in read(plain)[0]] == TEXTS
    assert read(lines)[0] == TEXTS


def test_a_text_without_blank_lines_is_one_document(tmp_path):
    (tmp_path / "a.txt").write_text("one line\nanother line\n")
    assert read(tmp_path / "a.txt")[0] == ["one line\nanother line\n"]


def test_a_glob_reads_its_files_in_the_order_of_their_names(tmp_path):
    for name in "cab":
        (tmp_path / f"{name}.txt").write_text(f"document {name}")
    assert read(tmp_path / "*.txt")[0] == ["document a", "document b", "document c"]


def test_bad_records_are_skipped_and_counted_by_reason(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(
        b'{"text": "a good one"}\n{"title": "no text"}\n{"text": 3}\n{"text": "word"}\n'
        b'{"text": "  "}\n\xff\xfe\n{"text": \n[1]\n\n{"text": "another good one"}\n'
    )
    texts, bad = read(path)
    assert texts == ["a good one", "another good one"]
    assert bad.counts == {
        "without text": 3,
        "one word": 1,
        "empty": 1,
        "invalid UTF-8": 1,
        "invalid JSON": 1,
    }


def test_invalid_utf8_spoils_only_its_own_document_of_a_text(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"good one\n\nbad \xff one\n\nanother good one\n")
    texts, bad = read(tmp_path / "a.txt")
    assert [text.strip() for text in texts] == ["good one", "another good one"]
    assert bad.counts == {"invalid UTF-8": 1}


def test_too_many_bad_records_are_an_error_that_names_the_first(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a good one"}\n{"title": "x"}\n{"text": "word"}\n')
    assert read(path, most_bad=2)[0] == ["a good one"]
    with pytest.raises(InputError, match="--max_bad_records=1.*a.jsonl:2: without text"):
        read(path, most_bad=1)


def test_missing_empty_and_damaged_files_and_folders_are_refused(tmp_path):
    (tmp_path / "empty.txt").touch()
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(b'{"text": "some words"}\n' * 99)[:-20])
    with pytest.raises(InputError, match="there is no file .*missing.txt"):
        read(tmp_path / "missing.txt")
    with pytest.raises(InputError, match="matches no file"):
        read(tmp_path / "*.nothing")
    with pytest.raises(InputError, match="empty.txt is empty"):
        read(tmp_path / "empty.txt")
    with pytest.raises(InputError, match="is a folder"):
        read(tmp_path)
    with pytest.raises(InputError, match="cut.jsonl.gz cannot be read"):
        read(tmp_path / "cut.jsonl.gz")


def test_paths_are_told_from_names_of_data_sets(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").write_text("a file without suffix")
    for path in ("/a/b", "./a", "~/a", "a/*.txt", "a.txt", "b.jsonl.xz", "here"):
        assert text_files.is_path(path), path
    for name in ("c4/en", "wiki40b/en:1.3.0", "lm1b", "python_docs"):
        assert not text_files.is_path(name), name


def test_the_fraction_that_is_read_grows_to_one(tmp_path):
    for name in "ab":
        lines = (json.dumps({"text": f"{name} {n} {'word ' * 50}"}) for n in range(2000))
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))
    files = text_files.TextFiles(str(tmp_path / "*.jsonl"))
    seen = [files.fraction_read for _ in files.documents("train", BadRecords(0))]
    assert seen == sorted(seen)
    assert seen[0] < 0.1 and seen[2000] == pytest.approx(0.5, abs=0.1) and seen[-1] == 1.0
