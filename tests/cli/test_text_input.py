"""The texts that `predict --input` reads."""

import gzip
import json

import pytest

from pipelines.errors import InputError
from sparse_mixer_tf.cli.text_input import texts_of
from sparse_mixer_tf.settings import SettingsError

ROWS = [("The cat.", "A dog."), ("One\ttab.", "Two.")]
EXPECTED = ["The cat.\tA dog.", "One tab.\tTwo."]


def write(path):
    if path.suffix == ".jsonl":
        rows = [json.dumps({"a": a, "b": b, "label": "yes"}) for a, b in ROWS]
        path.write_text("\n".join(rows))
    elif path.suffix == ".gz":
        rows = [f'"{a}","{b}",yes' for a, b in ROWS]
        path.write_bytes(gzip.compress("\n".join(["a,b,label", *rows]).encode("utf-8-sig")))
    else:
        rows = [f"{a} \t{b}\tyes".replace("One\t", "One ") for a, b in ROWS]
        path.write_text("\n".join(["a\tb\tlabel", *rows]))
    return path


@pytest.mark.parametrize("name", ["x.jsonl", "x.csv.gz", "x.tsv"])
def test_records_give_their_text_fields_and_neither_header_nor_label(tmp_path, name):
    assert list(texts_of(str(write(tmp_path / name)), ["a", "b"])) == EXPECTED


def test_a_tsv_without_the_names_of_the_fields_has_a_text_a_line(tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_text("The cat.\tA dog.\nOne.\tTwo.\n")
    assert list(texts_of(str(path), ["a", "b"])) == ["The cat.\tA dog.", "One.\tTwo."]


def test_a_row_that_lacks_a_field_or_cannot_be_read_is_named(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text('{"a": "x"}\n')
    with pytest.raises(InputError, match="x.jsonl:1 has no field 'b'"):
        list(texts_of(str(path), ["a", "b"]))
    path.write_text('{"a": "x"}\n{\n')
    with pytest.raises(InputError, match="first .*x.jsonl:2: invalid JSON"):
        list(texts_of(str(path), ["a"]))


def test_blank_lines_keep_their_place(tmp_path):
    path = tmp_path / "x.txt"
    path.write_bytes("\ufeffone\n\n  \ntwo".encode())
    assert list(texts_of(str(path), ["text"])) == ["one", "", "", "two"]
    path.write_bytes(b"caf\xe9")
    with pytest.raises(SettingsError, match=r"x.txt is not UTF-8 \(byte 0xe9\), perhaps Latin-1"):
        list(texts_of(str(path), ["text"]))
