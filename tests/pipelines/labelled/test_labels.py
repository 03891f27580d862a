"""Labels of a user's own files."""

import gzip
import json
import os
import subprocess
import sys

import pytest

from pipelines.errors import InputError
from pipelines.labelled import labels
from pipelines.labelled.files import LabelledFiles
from pipelines.settings import DataSettings


def opened(path, **options):
    options = {"text_fields": "text", "validation_fraction": 0.2, **options}
    return LabelledFiles(DataSettings(dataset=str(path), **options))


def write(path, values, **extra):
    rows = [{"text": f"text number {n}", "label": v, **extra} for n, v in enumerate(values)]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


@pytest.mark.parametrize("missing", ["-", "-1", -1, None, "", float("nan"), "nan"])
def test_a_row_without_a_label_is_named_or_left_out(tmp_path, missing):
    path = write(tmp_path / "a.jsonl", [0, 1] * 30 + [missing])
    with pytest.raises(InputError, match=r"a.jsonl:61: .* as 1 of 61 rows; .*--drop_unlabelled"):
        opened(path)
    source = opened(path, drop_unlabelled=True)
    assert source.labels == ("0", "1")
    assert len(source.read("train")) + len(source.read("validation")) == 60


def test_minus_one_is_a_class_where_labels_are_said_to_be_classes(tmp_path):
    path = write(tmp_path / "a.jsonl", [-1, 0, 1] * 20)
    assert opened(path, label_type="class").labels == ("-1", "0", "1")


def test_one_and_one_point_zero_are_one_label(tmp_path):
    assert opened(write(tmp_path / "a.jsonl", [1, 1.0, "1", 2, "2.0"] * 12)).labels == ("1", "2")


def test_decimals_are_numbers_to_predict(tmp_path):
    path = write(tmp_path / "a.jsonl", [n / 4 for n in range(60)])
    source = opened(path)
    assert source.labels == () and source.metrics == ("pearson", "spearman")
    found = {example.texts: example.label for example in source.read("all")}
    assert found == {(f"text number {n}",): n / 4 for n in range(60)}
    path = write(tmp_path / "c.jsonl", [0.5, 1.5] * 20)
    assert opened(path, label_type="class").labels == ("0.5", "1.5")
    with pytest.raises(InputError, match="the label 'a' is no number"):
        opened(write(tmp_path / "b.jsonl", ["a", 1.5] * 20), label_type="number")


def test_the_order_of_classes_does_not_depend_on_the_process():
    code = (
        "from pipelines.labelled import labels\n"
        "print(labels.in_order({'b', '-inf', '1e3', 'nan', 'a', '2'}))"
    )
    orders = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in "123"
    }
    assert orders == {"['2', '1e3', '-inf', 'a', 'b', 'nan']\n"}


@pytest.mark.parametrize("kind", [["a", "b"], {"a": 1}])
def test_lists_and_objects_are_no_texts_and_no_labels(tmp_path, kind):
    path = write(tmp_path / "a.jsonl", ["a", "b"] * 9, other=kind)
    with pytest.raises(InputError, match=r"a.jsonl:1: other is an? (list|object), not a text"):
        opened(path, text_fields="other")
    with pytest.raises(InputError, match=r"a.jsonl:1: other is an? (list|object), not a label"):
        opened(path, label_field="other")


@pytest.mark.parametrize("suffix, separator", [(".tsv", "\t"), (".csv", ",")])
def test_a_separator_too_many_is_refused_with_its_line(tmp_path, suffix, separator):
    path = tmp_path / f"a{suffix}"
    rows = [f"text {n}{separator}yes" for n in range(9)]
    rows[4] = f"text{separator}4{separator}no"
    path.write_text("\n".join([f"text{separator}label", *rows]))
    with pytest.raises(InputError, match=rf"a{suffix}:6 has 3 fields, the header has 2 \(text, la"):
        opened(path)


def test_a_byte_order_mark_is_no_part_of_a_columns_name(tmp_path):
    path = tmp_path / "a.csv"
    rows = [f"text {n},{'ab'[n % 2]}" for n in range(40)]
    path.write_text("\n".join(["text,label", *rows]), "utf-8-sig")
    assert len(opened(path).read("all")) == 40


def test_a_cell_may_be_longer_than_the_limit_of_the_csv_module(tmp_path):
    path = tmp_path / "long.csv.gz"
    rows = [f'"{"word " * 30_000}{n}",{"ab"[n % 2]}' for n in range(20)]
    path.write_bytes(gzip.compress("\n".join(["text,label", *rows]).encode()))
    assert len(opened(path).read("all")[0].texts[0]) > 131_072


def test_latin_1_is_named_as_such(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_bytes("text\tlabel\nfa\xe7ade\tyes".encode("latin-1"))
    with pytest.raises(InputError, match=r"a.tsv is not UTF-8 \(byte 0xe7\), perhaps Latin-1"):
        opened(path)


def test_a_lone_surrogate_is_one_bad_record(tmp_path, capsys):
    path = write(tmp_path / "a.jsonl", ["a", "b"] * 20)
    with path.open("a") as file:
        file.write('\n{"text": "half a \\ud83d pair", "label": "a"}')
    assert len(opened(path).read("all")) == 40
    assert f"1 lone surrogate (first {path}:41" in capsys.readouterr().err


def test_a_pattern_may_have_a_test_file(tmp_path):
    for split, count in (("train", 20), ("validation", 6), ("test", 4)):
        write(tmp_path / f"{split}.jsonl", ["a", "b"] * (count // 2))
    source = opened(tmp_path / "{split}.jsonl")
    assert source.test == ("test",) and len(source.read("test")) == 4
    assert len(source.read("all")) == 30


def test_labels_that_only_look_like_numbers_are_text():
    assert labels.normalize("1_000", "w", "label", "auto") == "1000"
    assert labels.as_number("inf") is None


def test_a_row_with_too_few_fields_is_refused_with_its_line(tmp_path):
    path = tmp_path / "a.tsv"
    rows = [f"text {n}\tyes" for n in range(9)]
    rows[4] = "text 4"
    path.write_text("\n".join(["text\tlabel", *rows]))
    with pytest.raises(InputError, match=r"a.tsv:6 has 1 fields, the header has 2 \(text, label"):
        opened(path)


def test_a_file_for_a_model_that_is_there_may_lack_classes(tmp_path):
    settings = DataSettings(dataset=str(write(tmp_path / "a.jsonl", ["b"])), text_fields="text")
    source = LabelledFiles(settings, ("a", "b"))
    assert [example.label for example in source.read("all")] == [1]
    write(tmp_path / "a.jsonl", ["b", "c"])
    with pytest.raises(InputError, match=r"a.jsonl:2: label='c' is none of the model's"):
        LabelledFiles(settings, ("a", "b"))
    write(tmp_path / "a.jsonl", [1, 2.5])
    assert [example.label for example in LabelledFiles(settings, ()).read("all")] == [1, 2.5]
