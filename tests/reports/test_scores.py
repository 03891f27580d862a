import re

from sparse_mixer_tf.experiments.log import RunLog
from sparse_mixer_tf.reports import scores


def _log(validation=(), samples=(), labels=("no", "yes")) -> RunLog:
    return RunLog([], list(validation), {"labels": list(labels)}, list(samples))


def _text(html: str) -> str:
    return " ".join(re.sub("<[^>]*>", " ", html).split())


RECORDS = [
    {"step": 0, "score": 0.9, "accuracy": 0.9},
    {"step": 5, "score": 0.6, "accuracy": 0.7, "f1": 0.5, "confusion": [[3, 1], [2, 4]]},
    {"step": 9, "score": 0.6, "accuracy": 0.6, "f1": 0.6, "confusion": [[30, 10], [20, 40]]},
]


def test_the_best_is_the_first_of_equals_and_never_the_untrained_model():
    assert scores.best_record(_log(RECORDS))["step"] == 5
    assert scores.best_record(_log()) is None
    assert scores.score_rows(_log(RECORDS)) == [
        ("Score, held out", "60.0%, at step 5"),
        ("Accuracy", "70.0%"),
        ("F1", "50.0%"),
    ]


def test_the_confusion_matrix_is_that_of_the_last_evaluation():
    (section,) = scores.sections(_log(RECORDS))
    assert _text(section.body) == "truth no yes right no 30 10 75% yes 20 40 67%"
    assert '<span class="right">40</span>' in section.body


def test_mistakes_are_shown_with_their_texts_escaped():
    mistake = {"segments": ["a <b>", "c"], "truth": "yes", "said": "no", "size": 0.973}
    (section,) = scores.sections(_log(samples=[mistake]))
    assert "a &lt;b&gt;<br>c" in section.body and "97%" in section.body and "yes" in section.body
    (section,) = scores.sections(_log(samples=[mistake | {"size": 2.5}], labels=()))
    assert "off by 2.50" in section.body and section.title == "Greatest errors"


def test_other_runs_have_none_of_it():
    fills = [{"text": "x", "predictions": []}]
    assert scores.sections(RunLog([], [{"step": 1, "loss": 1.0}], {}, fills)) == []
