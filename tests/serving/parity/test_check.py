"""A comparison finds what is wrong with an export, and nothing else."""

import numpy as np
import pytest
from sentencepiece.sentencepiece_model_pb2 import ModelProto

from pipelines.tokenizers.sentencepiece_model import Vocabulary
from sparse_mixer_tf.serving import model_with_rows_apart, serve
from sparse_mixer_tf.serving.metadata import model_facts
from sparse_mixer_tf.serving.parity.check import compare, difference, regret
from sparse_mixer_tf.serving.parity.reference import make_probe, next_shares
from sparse_mixer_tf.serving.parity.sample_texts import real_texts
from tests.models.small_vocabulary import TEXTS
from tests.serving.conftest import SPECIAL, make_words

SAMPLES = [{"text": f"[CLS] {text[4:]} [MASK] . [SEP]", "predictions": []} for text in TEXTS]


def _compared(task, texts, saved):
    """The differences between a task and what was saved, by what they are between."""
    model = model_with_rows_apart(task, 1)
    inputs = model_facts(task, 1)["segments"]
    live, evaluated = (make_probe(task, m, texts, inputs) for m in (model, task.model))
    writer = model if task.settings.task == "causal_lm" else None
    found = compare(saved, live, evaluated, "float32", True, writer)
    assert set(found.seconds) == {1, len(texts)} and min(found.seconds.values()) > 0
    return {line.between: line for line in found.differences}


@pytest.fixture(scope="module")
def fillers(make_task, tmp_path_factory):
    """A masked language model, and a SavedModel of it."""
    folder = tmp_path_factory.mktemp("fillers")
    task = make_task("pretrain", make_words(control_symbols=SPECIAL))
    (folder / "vocabulary").mkdir()
    (folder / task.vocabulary_file).write_bytes(task.vocabulary.model_bytes)
    serve(task, model_with_rows_apart(task, 1), folder, 5).save(folder / "saved")
    texts, source = real_texts(task, SAMPLES, 12)
    assert source == "the samples of the run"
    return task, texts, folder / "saved"


def test_an_export_holds_and_its_grouping_is_told(fillers):
    found = _compared(*fillers)
    assert all(line.holds for line in found.values())
    assert found["ids made in the graph, in Python"].largest == 0
    apart = found["routed by row, as evaluated"]
    assert apart.rows_apart > 0 and apart.rows_allowed is None and "ok" not in str(apart)


def test_a_vocabulary_in_another_order_is_a_mismatch(make_task, fillers):
    task, texts, saved = fillers
    model = ModelProto.FromString(task.vocabulary.model_bytes)
    # Two pieces change places, and so their ids.
    _swap(model.pieces, 7, 40)
    changed = make_task("pretrain", Vocabulary(model.SerializeToString()))
    found = _compared(changed, texts, saved)
    wrong = found["ids made in the graph, in Python"]
    assert not wrong.holds and "MISMATCH" in str(wrong)
    assert not found["reloaded, live"].holds


def _swap(pieces, first, second):
    kept = ModelProto.SentencePiece.FromString(pieces[first].SerializeToString())
    pieces[first].CopyFrom(pieces[second])
    pieces[second].CopyFrom(kept)


def test_a_language_model_is_compared_by_what_it_writes_too(make_writer, tmp_path):
    task = make_writer(architecture="sg")
    (tmp_path / "vocabulary").mkdir()
    (tmp_path / task.vocabulary_file).write_bytes(task.vocabulary.model_bytes)
    serve(task, model_with_rows_apart(task, 1), tmp_path, 5).save(tmp_path / "saved")
    texts, source = real_texts(task, [{"prompt": " ".join(TEXTS)}], 10)
    assert source == "the samples of the run" and len(set(texts)) == 10
    found = _compared(task, texts, tmp_path / "saved")
    assert all(line.holds for line in found.values())


def test_symbols_that_another_model_would_not_have_written_are_a_mismatch(make_writer):
    task = make_writer(architecture="s")
    probe = make_probe(task, task.model, [("the",), ("a small boat",)], ["text"])
    written = np.stack(
        [_greedy(task.model, task.vocabulary.encode(text), 4) for text in probe.texts["text"]]
    )
    assert regret(task.model, probe, written, 1e-4, 0).holds
    written[1, 2] = (written[1, 2] + 1) % task.vocabulary.size
    found = regret(task.model, probe, written, 1e-4, 0)
    assert not found.holds and found.rows_apart == 1


def _greedy(model, ids, length):
    for _ in range(length):
        ids = np.append(ids, next_shares(model, ids)[-1].argmax())
    return ids[-length:]


def test_one_row_in_eight_may_be_routed_otherwise_by_chance_and_nan_never_holds():
    ours = {"p": np.zeros((16, 3), "float32")}
    for rows, holds in ((2, True), (3, False)):
        theirs = {"p": np.zeros((16, 3), "float32")}
        theirs["p"][:rows, 1] = 0.5
        found = difference("a, b", ours, theirs, 1e-4, 2)
        assert found.holds == holds and found.rows_apart == rows and found.largest == 0.5
    theirs["p"][:] = np.nan
    assert not difference("a, b", ours, theirs, 1e-4, 2).holds
    assert not difference("a, b", ours, {"p": np.zeros((16, 4))}, 1e-4, 2).holds


def test_without_samples_texts_are_made_of_the_vocabulary(make_task, make_writer):
    for task in (make_writer("word"), make_task("pretrain", make_words(control_symbols=SPECIAL))):
        texts, source = real_texts(task, [], 20)
        assert source == "pieces of the vocabulary" and len(texts) == 20
        assert all(len(text) > 10 for (text,) in texts)
