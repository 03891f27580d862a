"""The scores of GLUE and SuperGLUE, from what a model said about a whole split.

Shares of [0, 1], correlations of [-1, 1]. Names that begin with `original_` are what the published
code reports where the benchmark defines something else.
"""

import re
import string
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from scipy import stats
from sklearn import metrics as sklearn_metrics


class Predictions(NamedTuple):
    """A model's outputs on a split, beside the truth.

    Attributes:
        outputs: float [examples, classes], logits; one column for a regression.
        labels: int [examples], or float for a regression.
        questions: int [examples]; the examples of one question share a number.
        candidates: the text that each example proposes as the answer; ReCoRD alone has them.
        answers: the right answers of each example's question; ReCoRD alone has them.
    """

    outputs: np.ndarray
    labels: np.ndarray
    questions: np.ndarray | None = None
    candidates: tuple[str, ...] = ()
    answers: tuple[tuple[str, ...], ...] = ()

    @property
    def classes(self) -> np.ndarray:
        """The greatest logit of each example; the lowest class where several are equal."""
        return np.argmax(self.outputs, axis=-1)

    @property
    def chosen(self) -> np.ndarray:
        """For each question the example likeliest to be right; the first where several are."""
        margin = self.outputs[:, 1] - self.outputs[:, 0]
        # Stable: by question, then by margin from the top, then as they come.
        order = np.lexsort((-margin, self.questions))
        return order[np.unique(self.questions[order], return_index=True)[1]]


def accuracy(said: Predictions) -> float:
    """Share of examples whose class is right."""
    return float(sklearn_metrics.accuracy_score(said.labels, said.classes))


def f1(said: Predictions) -> float:
    """F1 of class 1; 0 if it is neither there nor predicted. MultiRC's F1a is this over answers."""
    return float(sklearn_metrics.f1_score(said.labels, said.classes, zero_division=0))


def macro_f1(said: Predictions) -> float:
    """Mean of the F1 of every class that is there or predicted."""
    return float(
        sklearn_metrics.f1_score(said.labels, said.classes, average="macro", zero_division=0)
    )


def matthews_correlation(said: Predictions) -> float:
    """Matthews correlation; 0 if either side has one class only."""
    if len(np.unique(said.labels)) == 1 or len(np.unique(said.classes)) == 1:
        return 0.0
    return float(sklearn_metrics.matthews_corrcoef(said.labels, said.classes))


def pearson_correlation(said: Predictions) -> float:
    """Linear correlation; 0 if either side is constant."""
    return _correlation(stats.pearsonr, said)


def spearman_correlation(said: Predictions) -> float:
    """Correlation of ranks, ties at their mean rank; 0 if either side is constant."""
    return _correlation(stats.spearmanr, said)


def choice_accuracy(said: Predictions) -> float:
    """Share of questions whose likeliest choice is right."""
    return float(np.mean(said.labels[said.chosen] == 1))


def question_exact_match(said: Predictions) -> float:
    """Share of questions all of whose examples are right."""
    _, number = np.unique(said.questions, return_inverse=True)
    wrong = np.bincount(number, said.classes != said.labels)
    return float(np.mean(wrong == 0))


def gender_parity(said: Predictions) -> float:
    """Share of questions, each a pair of sentences that differ in a pronoun, answered alike."""
    _, number = np.unique(said.questions, return_inverse=True)
    lowest = np.full(number.max() + 1, said.outputs.shape[1])
    np.minimum.at(lowest, number, said.classes)
    return float(np.mean(np.bincount(number, said.classes != lowest[number]) == 0))


def answer_exact_match(said: Predictions) -> float:
    """Share of questions whose likeliest candidate is one of the answers, normalised."""
    return float(np.mean([any(a == c for a in answers) for c, answers in _answered(said)]))


def answer_f1(said: Predictions) -> float:
    """Mean over questions of the best token F1 of the likeliest candidate with an answer."""
    return float(np.mean([_best_f1(c, answers) for c, answers in _answered(said)]))


def original_record_f1(said: Predictions) -> float:
    """F1 of the chosen examples' labels against a prediction of True for each of them."""
    right = said.labels[said.chosen] == 1
    return float(sklearn_metrics.f1_score(right, np.ones_like(right), zero_division=0))


METRICS = {
    "accuracy": accuracy,
    "f1": f1,
    "macro_f1": macro_f1,
    "matthews_correlation": matthews_correlation,
    "pearson_correlation": pearson_correlation,
    "spearman_correlation": spearman_correlation,
    "choice_accuracy": choice_accuracy,
    "question_exact_match": question_exact_match,
    "gender_parity": gender_parity,
    "answer_exact_match": answer_exact_match,
    "answer_f1": answer_f1,
    "original_accuracy": accuracy,
    "original_choice_accuracy": choice_accuracy,
    "original_record_f1": original_record_f1,
}


def scores(names: Iterable[str], said: Predictions) -> dict[str, float]:
    """The metrics of these names."""
    return {name: METRICS[name](said) for name in names}


def normalised_answer(text: str) -> str:
    """Lower case, without punctuation, articles and extra spaces, as SQuAD and ReCoRD compare."""
    text = "".join(c for c in text.lower() if c not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def _correlation(statistic, said: Predictions) -> float:
    values = np.asarray(said.outputs[:, 0], "float64")
    if len(values) < 2 or np.ptp(values) == 0 or np.ptp(said.labels) == 0:
        return 0.0
    return float(statistic(values, said.labels).statistic)


def _answered(said: Predictions) -> list[tuple[str, list[str]]]:
    """For each question its likeliest candidate and its answers, normalised."""
    return [
        (normalised_answer(said.candidates[i]), [normalised_answer(a) for a in said.answers[i]])
        for i in said.chosen
    ]


def _best_f1(candidate: str, answers: list[str]) -> float:
    return max((_token_f1(candidate.split(), answer.split()) for answer in answers), default=0.0)


def _token_f1(said: list[str], true: list[str]) -> float:
    common = sum((Counter(said) & Counter(true)).values())
    return 2 * common / (len(said) + len(true)) if common else 0.0
