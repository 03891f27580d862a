import json

import numpy as np
import pytest

from pipelines import schema
from pipelines.datasets import classification
from pipelines.errors import InputError
from pipelines.labelled import dataset
from pipelines.labelled.examples import Example
from pipelines.labelled.files import LabelledFiles
from pipelines.settings import DataSettings
from tests.tfds_folders import write_prepared


@pytest.fixture(scope="module")
def words(store):
    return store.vocabulary


@pytest.fixture(scope="module")
def examples():
    texts = ["the river sings", "a green stone walks slowly", "window", "the baker reads letters"]
    return [
        Example((texts[n % 4], texts[n * 7 % 3] * (1 + n % 5)), n % 2, n // 2, (n,))
        for n in range(23)
    ]


@pytest.fixture(scope="module")
def data(examples, words):
    return dataset.tokenise(examples, words, max_seq_length=24)


def test_a_row_is_what_one_would_write_by_hand(data, words):
    example = data.examples[1]
    row = data.rows(np.array([1]))
    first, second = words.encode_batch(list(example.texts))
    ids = [words.cls_id, *first, words.sep_id, *second, words.sep_id]
    assert len(ids) <= 24
    assert row["token_ids"][0].tolist() == ids + [words.pad_id] * (24 - len(ids))
    assert row["padding_mask"][0].tolist() == [True] * len(ids) + [False] * (24 - len(ids))
    segments = [0] * (len(first) + 2) + [1] * (len(second) + 1)
    assert row["segment_ids"][0].tolist() == segments + [0] * (24 - len(ids))


@pytest.mark.parametrize("truncation", ["longest", "right"])
def test_what_is_too_long_is_cut(examples, words, truncation):
    short = dataset.tokenise(examples, words, 12, truncation)
    rows = short.rows(np.arange(len(short)))
    for example, ids, mask in zip(examples, rows["token_ids"], rows["padding_mask"], strict=True):
        first, second = words.encode_batch(list(example.texts))
        whole = [words.cls_id, *first, words.sep_id, *second, words.sep_id]
        kept = ids[mask].tolist()
        assert len(kept) == min(len(whole), 12)
        if truncation == "right":
            assert kept == whole[:12]
        else:
            assert kept[-1] == words.sep_id and kept.count(words.sep_id) == 2
    assert 0 < short.num_truncated < len(short)


def test_batches_follow_the_schema(data):
    for stream in (
        classification.train_stream(data, 5, seed=0),
        classification.evaluation_stream(data, 5),
    ):
        batch = next(iter(stream))
        schema.check(batch, schema.classification_batch(24, 5, is_regression=False))


def test_every_epoch_holds_every_example_once_in_another_order(data):
    rows = range(23)
    epochs = [
        classification.batch_at(data, 0, step, rows, 23)["example_index"].tolist()
        for step in range(3)
    ]
    assert all(sorted(epoch) == list(range(23)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_the_stream_is_a_function_of_seed_and_step(data):
    def batches(seed, start=0, count=6):
        stream = classification.train_stream(data, 4, seed, start).take(count)
        return [batch["token_ids"].numpy().tolist() for batch in stream]

    assert batches(0)[3:] == batches(0, start=3, count=3)
    assert batches(0) != batches(1)


def test_hosts_share_the_batch(data):
    whole = next(iter(classification.train_stream(data, 6, 0)))["example_index"].numpy()
    halves = [
        next(iter(classification.train_stream(data, 6, 0, 0, host, 2)))["example_index"].numpy()
        for host in range(2)
    ]
    assert np.concatenate(halves).tolist() == whole.tolist()


@pytest.mark.parametrize("batch_size", [1, 5, 23, 64])
def test_an_evaluation_sees_every_example_once(data, batch_size):
    index, weights = [], []
    for batch in classification.evaluation_stream(data, batch_size):
        index += batch["example_index"].numpy().tolist()
        weights += batch["example_weights"].numpy().tolist()
    real = [i for i, weight in zip(index, weights, strict=True) if weight]
    assert real == list(range(23))


def _file(tmp_path, labels, count=80):
    path = tmp_path / "rows.jsonl"
    rows = [{"text": f"row {n} of many", "label": labels[n % len(labels)]} for n in range(count)]
    path.write_text("\n".join(map(json.dumps, rows)))
    return DataSettings(
        dataset=str(path), text_fields="text", validation_fraction=0.3, max_seq_length=16
    )


def test_the_first_batches_of_an_evaluation_show_whole_questions(words):
    questions = [7, 3, 7, 3, 9, 7, 9]
    examples = [Example((f"a {n}",), 0, q, (n,)) for n, q in enumerate(questions)]
    data = dataset.tokenise(examples, words, 16)
    batches = [b["example_index"].numpy() for b in classification.evaluation_stream(data, 3)]
    assert np.concatenate(batches)[:7].tolist() == [0, 2, 5, 1, 3, 4, 6]


def test_labels_in_another_order_become_those_of_the_model(tmp_path, words, monkeypatch):
    # As a task of GLUE, whose labels are its own whatever the model's are.
    monkeypatch.setattr(
        classification, "open_source", lambda settings, labels=None: LabelledFiles(settings)
    )
    data = classification.open_data(_file(tmp_path, ("a", "b")), words, labels=("b", "a"))
    plain = classification.open_data(_file(tmp_path, ("a", "b")), words)
    assert (data.train.labels == 1 - plain.train.labels).all()
    with pytest.raises(InputError, match="has the labels a, b, the model x, y; score a task"):
        classification.open_data(_file(tmp_path, ("a", "b")), words, labels=("x", "y"))


def test_a_file_is_read_with_the_classes_of_the_model(tmp_path, words):
    data = classification.open_data(_file(tmp_path, ("a",)), words, labels=("b", "a"))
    assert set(data.split("all").labels) == {1}
    with pytest.raises(InputError, match="label='a' is none of the model's labels, x, y"):
        classification.open_data(_file(tmp_path, ("a", "b")), words, labels=("x", "y"))


def test_the_first_examples_can_be_had_alone(tmp_path, words):
    from dataclasses import replace

    settings = _file(tmp_path, ("a", "b"))
    whole = classification.open_data(settings, words)
    part = classification.open_data(replace(settings, max_train_examples=7), words)
    assert list(part.train.examples) == list(whole.train.examples)[:7]
    assert part.fingerprint([part.train]) != whole.fingerprint([whole.train])


def test_a_split_without_labels_is_refused_before_training(tmp_path, words):
    record = {"premise": "It rained.", "question": "effect", "choice1": "a", "choice2": "b"}
    splits = {"train": 8, "validation": 8, "test": 5}
    write_prepared(
        tmp_path,
        "super_glue/copa",
        {
            split: [
                record | {"label": -1 if split == "test" else n % 2, "idx": n} for n in range(c)
            ]
            for split, c in splits.items()
        },
    )
    settings = DataSettings(dataset="super_glue/copa", data_dir=str(tmp_path))
    data = classification.open_data(settings, words)
    with pytest.raises(InputError, match="the test split has no labels; score validation"):
        data.validation(["test"])
    # Two choices a question.
    assert len(data.split("test", labelled=False)) == 10


def test_other_data_cannot_be_classified():
    with pytest.raises(InputError, match="--dataset=c4/en cannot be classified; use python_docs"):
        classification.open_source(DataSettings(dataset="c4/en"))


def test_a_vocabulary_is_trained_where_none_is_given(tmp_path):
    from dataclasses import replace

    settings = replace(_file(tmp_path, ("a", "b")), vocab_size=30)
    assert classification.open_data(settings).vocabulary.size == 30


def test_paragraphs_are_labelled_with_their_library(monkeypatch):
    from pipelines.labelled import python_docs
    from pipelines.sources.records import Document

    class Source:
        description = "made up"

        def __init__(self, settings):
            pass

        def documents(self):
            yield "train", Document("One line.\nTwo lines.", "numpy")
            yield "validation", Document("Held out.", "keras")

    monkeypatch.setattr(python_docs, "Source", Source)
    source = python_docs.DocumentedLibrary(DataSettings())
    assert [(e.texts, source.labels[e.label]) for e in source.read("train")] == [
        (("One line.",), "numpy"),
        (("Two lines.",), "numpy"),
    ]
    assert len(source.read("validation")) == 1
