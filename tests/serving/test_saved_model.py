"""Signatures, asked in this process and, saved, in one that has TensorFlow alone."""

import ast
from pathlib import Path

import numpy as np
import pytest

from sparse_mixer_tf.serving.metadata import signature_facts
from sparse_mixer_tf.serving.parity import worker
from sparse_mixer_tf.serving.parity.subprocess import ReloadError, Request, ask
from tests.serving.conftest import SPECIAL, make_words

AWKWARD = [
    "the quick [MASK] fox", "", "\0", b"\xff\xfe the \xe2\x82", "\N{ROCKET}", "[CLS] [SEP]",
    "the dog [MASK] " * 300, "a\r\n\nb", "[MASK]" * 60,
]  # fmt: skip
GREEDY = {"length": 6, "temperature": 0.0, "top_k": 0, "top_p": 1.0, "seed": 0}


@pytest.fixture
def kinds(make_task, make_writer):
    """`name -> (task, inputs for texts)`."""

    def make(name):
        if name.startswith("writer"):
            # The quickest to trace; experts are in other tests.
            layers = {"architecture": "s"}
            return make_writer(name.removeprefix("writer of "), **layers), {"text": AWKWARD}
        words = make_words("unigram" if name == "regression" else "bpe", control_symbols=SPECIAL)
        if name == "masked words":
            return make_task("pretrain", words), {"text": AWKWARD}
        files = {"dataset": "rows.tsv", "text_fields": "title,body"}
        labels = () if name == "regression" else ("no", "yes", "é")
        inputs = {"text_1": AWKWARD, "text_2": AWKWARD[::-1]}
        return make_task("classify", words, labels, files), inputs

    return make


def _first(inputs, count):
    return {name: column[:count] for name, column in inputs.items()}


KINDS = [
    "masked words", "classifier", "writer of byte", "writer of word", "writer of sentencepiece",
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_fresh_process_answers_awkward_texts_in_any_batch_as_this_one_does(
    kinds, served, tmp_path, kind
):
    task, inputs = kinds(kind)
    model = served(task)
    requests = [
        Request("serving_default", inputs),
        Request("serving_default", _first(inputs, 1)),
        Request("serving_default", _empty(inputs)),
        Request("tokenize", inputs),
    ]
    if kind.startswith("writer"):
        requests.append(Request("generate", inputs | GREEDY))
    if kind == "masked words":
        requests.append(Request("encode", inputs))
    model.save(tmp_path / "saved")
    answers = ask(tmp_path / "saved", requests)
    for request, answer in zip(requests, answers, strict=True):
        here = model.answer(request.signature, **request.inputs)
        assert set(answer.outputs) == set(here)
        for name, value in here.items():
            assert answer.outputs[name].shape == value.shape
            if value.dtype.kind == "f":
                assert np.isfinite(value).all()
                np.testing.assert_allclose(answer.outputs[name], value, atol=1e-5)
            else:
                np.testing.assert_array_equal(answer.outputs[name], value)
    whole, one, none = (answer.outputs for answer in answers[:3])
    for name, value in whole.items():
        assert len(value) == len(AWKWARD) and len(none[name]) == 0
        if value.dtype.kind == "f":
            np.testing.assert_allclose(one[name], value[:1], atol=1e-5)
    # What is written of the signatures holds.
    facts = signature_facts(model)
    for request, answer in zip(requests, answers, strict=True):
        fields = facts[request.signature]["outputs"]
        assert set(fields) == set(answer.outputs)
        for name, field in fields.items():
            assert field["about"] and field["shape"].startswith("[batch")
            kind_of = "object" if field["dtype"] == "string" else field["dtype"]
            assert answer.outputs[name].dtype == kind_of


def _empty(inputs):
    return {name: np.array([], "S1") for name in inputs}


def test_masks_are_found_and_slots_without_one_are_marked(kinds, served):
    task, inputs = kinds("masked words")
    said = served(task).answer("serving_default", **inputs)
    slots = task.data_settings.num_predictions
    assert said["words"].shape == (len(AWKWARD), slots, 5)
    assert said["is_mask"].sum(axis=1).tolist() == [1, 0, 0, 0, 0, 0, slots, 0, slots]
    assert (np.diff(said["probabilities"], axis=-1) <= 0).all()
    words = [task.vocabulary.piece(i) for i in said["word_ids"][0, 0]]
    assert [word.decode() for word in said["words"][0, 0]] == words


def test_classes_are_named_and_a_regression_gives_a_number(kinds, served):
    task, inputs = kinds("classifier")
    said = served(task).answer("serving_default", **inputs)
    assert [name.decode() for name in said["classes"][3]] == ["no", "yes", "é"]
    np.testing.assert_allclose(said["probabilities"].sum(axis=1), 1, atol=1e-5)
    best = said["probabilities"].argmax(axis=1)
    assert said["label"].tolist() == [said["classes"][0][i] for i in best]
    task, inputs = kinds("regression")
    assert list(served(task).answer("serving_default", **inputs)) == ["value"]


def test_a_text_is_continued_alike_in_any_batch_and_by_its_own_numbers(kinds, served):
    model = served(kinds("writer of byte")[0])
    many = {"temperature": 1.0, "top_k": 0, "top_p": 1.0}
    texts = ["the", "the", "a small boat sailed", "the quick"]
    said = model.answer("generate", text=texts, length=[9, 9, 3, 9], seed=[7, 8, 7, 7], **many)
    ids = said["token_ids"]
    assert not np.array_equal(ids[0], ids[1])
    assert (ids[2, 3:] == -1).all() and (ids[2, :3] >= 0).all()
    for row, (text, seed) in enumerate(zip(texts, [7, 8, 7, 7], strict=True)):
        alone = model.answer("generate", text=[text], length=9, seed=seed, **many)["token_ids"]
        size = 3 if row == 2 else 9
        np.testing.assert_array_equal(alone[0, :size], ids[row, :size])
    none = model.answer("generate", text=["the"], length=0, seed=1, **many)
    assert none["continuation"].tolist() == [b""] and none["token_ids"].shape == (1, 0)


def test_an_empty_text_stands_for_the_end_of_a_line(kinds, served):
    model = served(kinds("writer of byte")[0])
    # Apart: in one batch the same numbers may round differently from row to row.
    empty = model.answer("serving_default", text=[""])
    end_of_line = model.answer("serving_default", text=["\n"])
    np.testing.assert_array_equal(empty["probabilities"], end_of_line["probabilities"])


def test_the_fresh_process_knows_tensorflow_and_its_tokenizers_alone():
    tree = ast.parse(Path(worker.__file__).read_text())
    imported = {
        name.name if isinstance(node, ast.Import) else node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in node.names
    }
    standard = {"json", "pathlib", "statistics", "sys", "time"}
    assert imported == {"tensorflow", "tensorflow_text"} | standard


def test_what_does_not_load_is_told(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"no graph")
    with pytest.raises(ReloadError, match="fails in a fresh process"):
        ask(tmp_path, [Request("serving_default", {"text": ["a"]})])
