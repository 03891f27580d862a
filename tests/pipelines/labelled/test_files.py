import gzip
import json

import pytest

from pipelines.errors import InputError
from pipelines.labelled.files import LabelledFiles, is_file
from pipelines.settings import DataSettings


def _rows(count=60):
    return [(f"text number {n}", f'more "{n}', ("no", "yes")[n % 2]) for n in range(count)]


def _write(path, rows, header=("title", "body", "label")):
    if ".jsonl" in path.name:
        text = "\n".join(json.dumps(dict(zip(header, row, strict=True))) for row in rows)
    elif path.suffix == ".csv":
        cells = [header, *rows]
        text = "\n".join(
            ",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in cells
        )
    else:
        text = "\n".join("\t".join(row) for row in [header, *rows])
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, encoding="utf-8")
    return str(path)


def _open(dataset, fields="title,body", label="label", fraction=0.2, **options):
    return LabelledFiles(
        DataSettings(
            dataset=dataset,
            text_fields=fields,
            label_field=label,
            validation_fraction=fraction,
            **options,
        )
    )


@pytest.mark.parametrize("name", ["a.tsv", "a.csv", "a.jsonl", "a.jsonl.gz"])
def test_every_format_gives_the_same_examples(tmp_path, name):
    source = _open(_write(tmp_path / name, _rows()))
    assert source.labels == ("no", "yes")
    found = {e.texts: e.label for s in ("train", "validation") for e in source.read(s)}
    assert found == {row[:2]: ("no", "yes").index(row[2]) for row in _rows()}
    assert 2 <= len(source.read("validation")) <= 25


def test_copies_of_a_row_fall_on_one_side(tmp_path):
    source = _open(_write(tmp_path / "a.tsv", _rows() * 2))
    train = {e.texts for e in source.read("train")}
    assert not train & {e.texts for e in source.read("validation")}


def test_two_files_are_two_splits(tmp_path):
    _write(tmp_path / "train.tsv", _rows(10))
    _write(tmp_path / "validation.tsv", _rows(4))
    source = _open(str(tmp_path / "{split}.tsv"))
    assert [len(source.read(s)) for s in ("train", "validation")] == [10, 4]


def test_numbers_are_classes_in_their_order(tmp_path):
    rows = [(f"text {n}", "b", str(n % 3 * 5)) for n in range(60)]
    assert _open(_write(tmp_path / "a.tsv", rows)).labels == ("0", "5", "10")


@pytest.mark.parametrize(
    ("name", "content", "arguments", "message"),
    [
        ("a.tsv", "title\tlabel\nx\ty\n", {"fields": None}, "needs --text_fields"),
        ("a.tsv", "title\tlabel\nx\ty\n", {}, "a.tsv:2 has no field 'body' .*it has title, label"),
        ("a.csv", "title,label\nx,\ny,a", {"fields": "title"}, "a.csv:2: the label is empty"),
        ("a.csv", "title,label\n ,y\n", {"fields": "title"}, "a.csv:2: title is empty"),
        ("a.jsonl", '{"title": "x"\n', {"fields": "title"}, "has no rows, and 1 invalid JSON"),
        ("a.tsv", "title\tlabel\nx\ty\n", {"fields": "title"}, "has no (train|validation) rows"),
    ],
)
def test_a_bad_file_is_named_with_its_line(tmp_path, name, content, arguments, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message):
        _open(str(tmp_path / name), **arguments)


def test_a_label_that_training_never_saw_is_named(tmp_path):
    _write(tmp_path / "train.tsv", _rows(10))
    _write(tmp_path / "validation.tsv", [*_rows(2), ("a", "b", "maybe")])
    with pytest.raises(InputError, match="validation.tsv:4: label='maybe' is not among .*no, yes"):
        _open(str(tmp_path / "{split}.tsv"))


@pytest.mark.parametrize("labels", [("no", "no"), ("no", "yes")])
def test_validation_rows_of_one_label_are_warned_of(tmp_path, caplog, labels):
    _write(tmp_path / "train.tsv", _rows())
    _write(tmp_path / "validation.tsv", [("a", "b", label) for label in labels])
    _open(str(tmp_path / "{split}.tsv"))
    assert ("every validation row has label='no'" in caplog.text) == (labels == ("no", "no"))


def test_a_file_that_is_not_there_or_not_text_is_named(tmp_path):
    with pytest.raises(InputError, match="none.tsv cannot be read .No such file"):
        _open(str(tmp_path / "none.tsv"))
    (tmp_path / "a.tsv").write_bytes(b"title\tbody\tlabel\n\xff\xfe\tb\tc\n")
    with pytest.raises(InputError, match="a.tsv is not UTF-8"):
        _open(str(tmp_path / "a.tsv"))


def test_one_label_is_not_enough(tmp_path):
    rows = [(f"text {n}", "b", "same") for n in range(60)]
    with pytest.raises(InputError, match="every training row has label='same'"):
        _open(_write(tmp_path / "a.tsv", rows))


def test_only_tables_are_files_of_labelled_examples():
    assert is_file("x/y.tsv") and is_file("y.jsonl.gz") and is_file("{split}.csv")
    assert not is_file("glue/cola") and not is_file("notes.txt")
