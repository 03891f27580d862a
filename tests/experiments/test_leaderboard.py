import json

import numpy as np

from pipelines.labelled import glue
from pipelines.labelled.examples import Example
from sparse_mixer_tf.experiments import leaderboard


def _content(name, labels, examples, outputs):
    return leaderboard.content(glue.find(name), labels, examples, np.array(outputs, float))


def _plain(*numbers):
    return [Example(("x",), -1, number, (number,)) for number in numbers]


def test_glue_files_are_tables_in_the_order_of_the_numbers():
    text = _content("glue/rte", ("entailment", "not_entailment"), _plain(1, 0), [[0, 1], [1, 0]])
    assert text == "index\tprediction\n0\tentailment\n1\tnot_entailment\n"
    text = _content("glue/cola", ("unacceptable", "acceptable"), _plain(0, 1), [[0, 1], [1, 0]])
    assert text == "index\tprediction\n0\t1\n1\t0\n"


def test_similarities_stay_between_0_and_5():
    text = _content("glue/stsb", (), _plain(0, 1, 2), [[5.4], [-1], [2.34567]])
    assert text.splitlines()[1:] == ["0\t5.000", "1\t0.000", "2\t2.346"]


def test_superglue_files_are_json_lines():
    lines = _content("super_glue/boolq", ("False", "True"), _plain(0, 1), [[0, 1], [1, 0]])
    assert lines == '{"idx": 0, "label": "true"}\n{"idx": 1, "label": "false"}\n'
    lines = _content("super_glue/wsc", ("False", "True"), _plain(3), [[0, 1]])
    assert json.loads(lines) == {"idx": 3, "label": "True"}


def test_copa_names_the_position_of_the_choice():
    examples = [Example(("p", "q", c), -1, n, (n,), c) for n in (8, 9) for c in ("a", "b")]
    lines = _content(
        "super_glue/copa", ("wrong", "right"), examples, [[0, 1], [0, 2], [0, 3], [1, 0]]
    )
    assert [json.loads(line) for line in lines.splitlines()] == [
        {"idx": 8, "label": 1},
        {"idx": 9, "label": 0},
    ]


def test_record_names_the_entity():
    examples = [Example((c, "q", "p"), -1, 4, (1, 4), c) for c in ("Ann", "Bo")]
    lines = _content("super_glue/record", ("wrong", "right"), examples, [[0, 1], [0, 2]])
    assert json.loads(lines) == {"idx": 4, "label": "Bo"}


def test_multirc_nests_answers_in_questions_in_paragraphs():
    numbers = [(0, 1, 1), (0, 1, 0), (0, 0, 0), (2, 5, 0)]
    examples = [Example(("q", "a", "p"), -1, n[1], n) for n in numbers]
    lines = _content(
        "super_glue/multirc", ("False", "True"), examples, [[0, 1], [1, 0], [0, 1], [1, 0]]
    )
    first, second = (json.loads(line) for line in lines.splitlines())
    assert first["passage"]["questions"] == [
        {"idx": 0, "answers": [{"idx": 0, "label": 1}]},
        {"idx": 1, "answers": [{"idx": 0, "label": 0}, {"idx": 1, "label": 1}]},
    ]
    assert second["idx"] == 2


def test_files_have_the_names_that_the_leaderboards_expect():
    names = [
        leaderboard.file_name(glue.find(task), split)
        for task, split in (
            ("glue/mnli", "test_matched"),
            ("glue/mnli", "test_mismatched"),
            ("glue/ax", "test"),
            ("super_glue/axg", "test"),
        )
    ]
    assert names == ["MNLI-m.tsv", "MNLI-mm.tsv", "AX.tsv", "AX-g.jsonl"]
