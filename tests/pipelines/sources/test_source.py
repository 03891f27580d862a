import json

import pytest

from pipelines.errors import InputError
from pipelines.settings import DataSettings
from pipelines.sources.source import Source
from tests.pipelines.conftest import made_up_document


def write(path, texts):
    path.write_text("\n".join(json.dumps({"text": text}) for text in texts))
    return str(path)


def splits(source):
    result = {"train": [], "validation": []}
    for split, document in source.documents():
        result[split].append(document.text)
    return result


def test_documents_are_divided_by_content_whatever_their_order_and_number(tmp_path):
    texts = [made_up_document(number) for number in range(300)]
    one = splits(Source(DataSettings(dataset=write(tmp_path / "a.jsonl", texts))))
    other = splits(Source(DataSettings(dataset=write(tmp_path / "b.jsonl", texts[200::-1]))))
    assert set(other["validation"]) == set(one["validation"]) & set(texts[:201])
    assert 0 < len(one["validation"]) < 20
    assert len(one["train"]) + len(one["validation"]) == 300


def test_copies_fall_on_one_side(tmp_path):
    texts = [made_up_document(number) for number in range(100)]
    copies = [" ".join(text.split()) + "\n" for text in texts]
    settings = DataSettings(
        dataset=write(tmp_path / "a.jsonl", texts + copies), validation_fraction=0.3
    )
    divided = splits(Source(settings))
    train = {" ".join(text.split()) for text in divided["train"]}
    validation = {" ".join(text.split()) for text in divided["validation"]}
    assert train and validation and not train & validation
    assert len(divided["train"]) == 2 * len(train)


def test_the_validation_fraction_is_kept(tmp_path):
    path = write(tmp_path / "a.jsonl", [f"document {number}" for number in range(4000)])
    divided = splits(Source(DataSettings(dataset=path, validation_fraction=0.25)))
    assert len(divided["validation"]) == pytest.approx(1000, abs=110)


def test_max_documents_bounds_all_that_is_read(tmp_path):
    path = write(tmp_path / "a.jsonl", [f"document {number}" for number in range(4000)])
    source = Source(DataSettings(dataset=path, max_documents=500))
    divided = splits(source)
    assert len(divided["train"]) + len(divided["validation"]) == 500
    assert sum(source.account.read.values()) == 500
    assert source.fraction_read == 1.0


def test_an_empty_validation_split_is_refused_with_a_fraction_that_fills_it(tmp_path):
    path = write(tmp_path / "a.jsonl", [made_up_document(number) for number in range(5)])
    with pytest.raises(InputError, match="use --validation_fraction=") as error:
        splits(Source(DataSettings(dataset=path, validation_fraction=0.001)))
    enough = float(str(error.value).split("use --validation_fraction=")[1].split()[0])
    divided = splits(Source(DataSettings(dataset=path, validation_fraction=enough)))
    assert len(divided["validation"]) == 1


def test_a_single_document_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text("only one document\nof two lines")
    with pytest.raises(InputError, match="two are the least"):
        splits(Source(DataSettings(dataset=str(tmp_path / "a.txt"))))


class Reader:
    """A source with a validation split of its own."""

    description, splits, fraction_read = "made up", ("train", "validation"), 0.0

    def __init__(self, *_):
        pass

    def num_slices(self, split):
        return 1

    def documents(self, split, bad, number):
        texts = {
            "train": ["a document", "held  out", "another document", "held out"],
            "validation": ["held out", "also held out"],
        }
        for text in texts[split]:
            yield from bad.screen(text, "made up", split)


def test_training_copies_of_validation_documents_are_dropped_and_counted(monkeypatch):
    monkeypatch.setattr("pipelines.sources.source.TfdsText", Reader)
    source = Source(DataSettings(dataset="made/up"))
    assert splits(source) == {
        "train": ["a document", "another document"],
        "validation": ["held out", "also held out"],
    }
    assert source.account.duplicates_dropped == 2


def test_max_documents_is_shared_by_a_source_with_its_own_validation_split(monkeypatch):
    monkeypatch.setattr("pipelines.sources.source.TfdsText", Reader)
    source = Source(DataSettings(dataset="made/up", max_documents=3))
    assert splits(source) == {"train": ["a document"], "validation": ["held out"]}
    assert sum(source.account.read.values()) == 3
