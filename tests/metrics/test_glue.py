"""Every metric against a computation of its own, from its definition."""

import math

import numpy as np
import pytest

from sparse_mixer_tf.metrics import glue
from sparse_mixer_tf.metrics.glue import Predictions


def _classes(said, truth, questions=None, num_classes=2) -> Predictions:
    outputs = np.eye(num_classes)[np.asarray(said)]
    return Predictions(
        outputs, np.asarray(truth), None if questions is None else np.asarray(questions)
    )


def _binary_f1(said, truth, positive) -> float:
    both = sum(s == t == positive for s, t in zip(said, truth, strict=True))
    either = sum(s == positive for s in said) + sum(t == positive for t in truth)
    return 2 * both / either if either else 0.0


RANDOM = np.random.default_rng(0)
SAID, TRUTH = RANDOM.integers(0, 2, 50), RANDOM.integers(0, 2, 50)


@pytest.mark.parametrize(
    ("said", "truth"),
    [(SAID, TRUTH), ([1, 1, 1], [1, 1, 1]), ([0, 0], [0, 0]), ([0, 0, 0], [1, 0, 1])],
)
def test_f1_and_matthews_follow_their_definitions(said, truth):
    found = glue.scores(("accuracy", "f1", "matthews_correlation"), _classes(said, truth))
    tp = sum(s == t == 1 for s, t in zip(said, truth, strict=True))
    tn = sum(s == t == 0 for s, t in zip(said, truth, strict=True))
    fp, fn = sum(said) - tp, sum(truth) - tp
    product = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    assert found["accuracy"] == pytest.approx((tp + tn) / len(said))
    assert found["f1"] == pytest.approx(_binary_f1(said, truth, 1))
    expected = (tp * tn - fp * fn) / math.sqrt(product) if product else 0.0
    assert found["matthews_correlation"] == pytest.approx(expected)


def test_macro_f1_is_the_mean_over_the_classes_that_occur():
    said, truth = [0, 1, 2, 2, 0, 1], [0, 2, 2, 1, 0, 1]
    expected = np.mean([_binary_f1(said, truth, c) for c in range(3)])
    assert glue.macro_f1(_classes(said, truth, num_classes=3)) == pytest.approx(expected)
    two = [_binary_f1([0, 0, 1], [0, 1, 1], c) for c in (0, 1)]
    assert glue.macro_f1(_classes([0, 0, 1], [0, 1, 1], num_classes=3)) == pytest.approx(
        np.mean(two)
    )


def _pearson(x, y) -> float:
    x, y = x - x.mean(), y - y.mean()
    return float((x * y).sum() / math.sqrt((x**2).sum() * (y**2).sum()))


def _ranks(values) -> np.ndarray:
    return np.array([(np.sum(values < v) + np.sum(values <= v) + 1) / 2 for v in values])


def test_correlations_follow_their_definitions_with_ties():
    said, truth = RANDOM.normal(size=40).round(1), RANDOM.integers(0, 6, 40).astype(float)
    predictions = Predictions(said[:, None], truth)
    assert glue.pearson_correlation(predictions) == pytest.approx(_pearson(said, truth))
    expected = _pearson(_ranks(said), _ranks(truth))
    assert glue.spearman_correlation(predictions) == pytest.approx(expected)


@pytest.mark.parametrize("name", ["pearson_correlation", "spearman_correlation"])
def test_a_constant_side_has_correlation_zero(name):
    values, constant = np.arange(5.0), np.ones(5)
    assert glue.METRICS[name](Predictions(constant[:, None], values)) == 0
    assert glue.METRICS[name](Predictions(values[:, None], constant)) == 0


def test_choices_are_compared_within_their_question_and_ties_go_to_the_first():
    outputs = np.array([[0.0, 2.0], [0.0, 1.0], [0.0, -5.0], [0.0, -4.0], [0.0, 7.0], [1.0, 8.0]])
    questions = np.array([3, 3, 1, 1, 2, 2])
    labels = np.array([1, 0, 1, 0, 1, 0])
    said = Predictions(outputs, labels, questions)
    # By question number: of 1 the second, of 2 (a tie) the first, of 3 the first.
    assert said.chosen.tolist() == [3, 4, 0]
    assert glue.choice_accuracy(said) == pytest.approx(2 / 3)


def test_the_choices_may_come_in_any_order():
    outputs = RANDOM.normal(size=(60, 2))
    questions = RANDOM.integers(0, 20, 60)
    labels = RANDOM.integers(0, 2, 60)
    order = RANDOM.permutation(60)
    names = ("choice_accuracy", "question_exact_match", "f1", "gender_parity")
    one = glue.scores(names, Predictions(outputs, labels, questions))
    assert one == glue.scores(names, Predictions(outputs[order], labels[order], questions[order]))


def test_multirc_counts_questions_with_every_answer_right():
    said = _classes([1, 0, 1, 0, 0, 1], [1, 0, 1, 1, 0, 1], [7, 7, 7, 2, 2, 9])
    assert glue.question_exact_match(said) == pytest.approx(2 / 3)
    assert glue.f1(said) == pytest.approx(2 * 3 / (3 + 4))


def test_gender_parity_counts_pairs_answered_alike():
    said = _classes([0, 0, 1, 0, 1, 1], [1, 0, 1, 0, 0, 0], [0, 0, 1, 1, 2, 2])
    assert glue.gender_parity(said) == pytest.approx(2 / 3)


def test_record_scores_the_text_of_the_likeliest_entity():
    answers = (("The White House", "Washington"),) * 2 + (("Rome",),) * 3
    said = Predictions(
        np.array([[0, 1], [0, 2], [0, 0.5], [0, 0.4], [0, -1.0]]),
        np.array([1, 0, 0, 0, 1]),
        np.array([0, 0, 1, 1, 1]),
        ("Washington", "white house!", "Paris", "Oslo", "Rome"),
        answers,
    )
    # `white house!` is no answer by its label, and one once articles and signs are gone.
    assert glue.answer_exact_match(said) == pytest.approx(1 / 2)
    assert glue.answer_f1(said) == pytest.approx(1 / 2)
    assert glue.METRICS["original_choice_accuracy"](said) == 0
    assert glue.original_record_f1(said) == 0


def test_record_f1_is_the_best_overlap_of_tokens():
    said = Predictions(
        np.array([[0.0, 1.0]]),
        np.array([0]),
        np.array([0]),
        ("President John Adams",),
        (("John Quincy Adams", "Adams"),),
    )
    assert glue.answer_exact_match(said) == 0
    assert glue.answer_f1(said) == pytest.approx(2 * 2 / (3 + 3))


def test_the_originals_record_f1_compares_with_true_for_every_question():
    said = Predictions(np.array([[0.0, 1], [0, 1], [0, 1]]), np.array([1, 1, 0]), np.arange(3))
    precision = 2 / 3
    assert glue.original_record_f1(said) == pytest.approx(2 * precision / (precision + 1))
