import numpy as np
import pytest

from pipelines import glue_records, glue_tasks
from pipelines.errors import InputError


def _examples(name, record, mark_spans=True):
    return list(glue_records.examples(glue_tasks.find(name), record, mark_spans))


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
        glue_tasks.find("glue/coola")
