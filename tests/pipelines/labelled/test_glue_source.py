import numpy as np
import pytest

from pipelines.errors import InputError
from pipelines.labelled import glue, glue_source
from pipelines.labelled.glue_source import GlueSource
from tests.long_cases import quick_among
from tests.tfds_folders import write_prepared

PREPARED = sorted(set(glue.TASKS) - {"glue/ax", "super_glue/record"})
SMALL = ("glue/rte", "glue/stsb", "super_glue/cb", "super_glue/copa", "super_glue/wic")


@pytest.mark.parametrize("name", quick_among(SMALL, PREPARED))
def test_every_prepared_task_is_read_through_tfds(shared, name):
    source = GlueSource(name, str(shared / "data/tfds"))
    assert source.validation, name
    examples = source.read(source.validation[-1])
    width = len(source.task.fields)
    assert len(examples) >= 56 and all(len(e.texts) == width for e in examples)
    if source.labels:
        assert {e.label for e in examples} == set(range(len(source.labels)))
    else:
        assert 0 <= min(e.label for e in examples) < max(e.label for e in examples) <= 5


def test_records_come_in_the_order_of_the_files(tmp_path):
    rows = [{"sentence": f"Sentence {n}.", "label": n % 2, "idx": n} for n in range(300)]
    write_prepared(tmp_path, "glue/cola", {"validation": rows}, num_shards=7)
    read = GlueSource("glue/cola", str(tmp_path)).read("validation")
    assert [example.texts for example in read] == [(row["sentence"],) for row in rows]
    assert [example.number for example in read] == [(n,) for n in range(300)]
    assert [example.label for example in read] == [row["label"] for row in rows]


def test_splits_that_are_not_prepared_are_named(tmp_path):
    row = {"premise": "It rains.", "hypothesis": "It is dry.", "label": 2, "idx": 0}
    write_prepared(tmp_path, "glue/mnli", {"train": [row], "validation_matched": [row]})
    source = GlueSource("glue/mnli", str(tmp_path))
    assert source.validation == ("validation_matched",)
    assert source.missing == ("validation_mismatched", "test_matched", "test_mismatched")
    with pytest.raises(InputError, match="has no split 'test'; there are train, validation_mat"):
        source.read("test")


@pytest.mark.parametrize("name", ["super_glue/record", "glue/ax"])
def test_data_that_are_not_prepared_name_the_command(tmp_path, name):
    with pytest.raises(InputError, match=f"run `tfds build {name} --data_dir={tmp_path}` first"):
        GlueSource(name, str(tmp_path))


@pytest.mark.parametrize("name", sorted(glue.TASKS))
def test_every_task_is_read_from_made_up_data(name, tmp_path):
    import tensorflow_datasets as tfds

    source = GlueSource.__new__(GlueSource)
    source.task, source._tfds = glue.find(name), tfds
    source._mark_spans, source._data_dir = True, str(tmp_path)
    split = (*source.task.validation, *source.task.test)[0]
    source.sizes = {split: 3}
    with tfds.testing.mock_data(num_examples=3):
        examples = source.read(split)
    assert len({example.number for example in examples}) <= 3
    assert all(len(example.texts) == len(source.task.fields) for example in examples)
    if name == "super_glue/record":
        assert all(example.candidate == example.texts[0] for example in examples)


def _examples(name, record, mark_spans=True):
    return list(glue_source.examples(glue.find(name), record, mark_spans))


def test_segments_come_in_the_order_of_the_table():
    record = {"premise": b"p", "hypothesis": b"h", "label": np.int64(2), "idx": np.int32(5)}
    (example,) = _examples("glue/mnli", record)
    assert (example.texts, example.label, example.number) == (("h", "p"), 2, (5,))


def test_copa_gives_an_example_for_each_choice():
    record = {
        "premise": b"It rained.", "question": b"effect", "choice1": b"It got wet.",
        "choice2": b"It got dry.", "label": np.int64(0), "idx": np.int32(4),
    }  # fmt: skip
    first, second = _examples("super_glue/copa", record)
    assert first.texts == ("It rained.", "effect", "It got wet.")
    assert (first.label, second.label) == (1, 0)
    assert first.question == second.question == 4
    unlabelled = _examples("super_glue/copa", record | {"label": np.int64(-1)})
    assert [example.label for example in unlabelled] == [-1, -1]


def test_record_gives_an_example_for_each_entity():
    record = {
        "passage": b"Ann met Bo.", "query": b"@placeholder left.", "entities": [b"Ann", b"Bo"],
        "answers": [b"Bo"], "idx": {"passage": np.int32(1), "query": np.int32(9)},
    }  # fmt: skip
    ann, bo = _examples("super_glue/record", record)
    assert ann.texts == ("Ann", "@placeholder left.", "Ann met Bo.")
    assert (ann.label, bo.label, bo.question, bo.number) == (0, 1, 9, (1, 9))
    assert (bo.candidate, bo.answers) == ("Bo", ("Bo",))
    assert _examples("super_glue/record", record | {"answers": []})[1].label == -1


def test_multirc_groups_by_question_and_loses_its_markup():
    record = {
        "paragraph": b"<b>Sent 1: </b>A.<br>B.", "question": b"q", "answer": b"a",
        "label": np.int64(1), "idx": {"paragraph": 1, "question": 2, "answer": 3},
    }  # fmt: skip
    (example,) = _examples("super_glue/multirc", record)
    assert example.texts == ("q", "a", " Sent 1:  A. B.")
    assert (example.question, example.number) == (2, (1, 2, 3))


def test_wic_marks_the_word_in_both_sentences():
    record = {
        "word": b"place", "sentence1": "Do you want to come over to my plac\u00e9?".encode(),
        "sentence2": b"A place.", "start1": 31, "end1": 36, "start2": 2, "end2": 7,
        "label": np.int64(0), "idx": np.int32(0),
    }  # fmt: skip
    (marked,), (plain,) = (
        _examples("super_glue/wic", record),
        _examples("super_glue/wic", record, mark_spans=False),
    )
    assert marked.texts[1] == "Do you want to come over to my * plac\u00e9 *?"
    assert marked.texts[2] == "A * place *."
    assert plain.texts == ("place", "Do you want to come over to my plac\u00e9?", "A place.")


def test_wsc_marks_both_spans_even_where_one_runs_past_the_end():
    record = {
        "text": b"Mark told Pete many lies about himself.", "span1_text": b"Mark", "span1_index": 0,
        "span2_text": b"himself for once", "span2_index": 6, "label": np.int64(1), "idx": 0,
    }  # fmt: skip
    (example,) = _examples("super_glue/wsc", record)
    assert example.texts[2] == "* Mark * told Pete many lies about # himself. #"
    assert example.texts[:2] == ("Mark", "himself for once")


def test_gender_pairs_are_consecutive_numbers():
    record = {"premise": b"p", "hypothesis": b"h", "label": 0}
    questions = [_examples("super_glue/axg", record | {"idx": n})[0].question for n in range(4)]
    assert questions == [0, 0, 1, 1]


def test_an_unknown_task_is_told_the_nearest():
    with pytest.raises(InputError, match="did you mean glue/cola"):
        glue.find("glue/coola")
