"""Labelled examples as they leave a source, and what every source of them offers."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from pipelines.errors import InputError

UNLABELLED = -1


class Example(NamedTuple):
    """One row for a classifier.

    Attributes:
        texts: the segments, in order.
        label: class, or the value of a regression; -1 where it is not known.
        question: examples of one question share it.
        number: how the source calls the example; leaderboards ask for it.
        candidate: the text that it proposes as an answer, where it is one of several.
        answers: the right answers to its question, where these are texts.
    """

    texts: tuple[str, ...]
    label: float
    question: int
    number: tuple[int, ...]
    candidate: str = ""
    answers: tuple[str, ...] = ()


class LabelledSource(Protocol):
    """Labelled data that a classifier is trained and scored on.

    Attributes:
        description: names the data and their version.
        labels: names of the classes in order; empty for a regression.
        metrics: what is scored, names of `sparse_mixer_tf.metrics.glue`; their mean is the score.
        original_metrics: reported beside them.
        validation: the splits that are scored.
        test: the splits that have no labels.
        whole: the splits that are scored where the model was trained on other data.
    """

    description: str
    labels: tuple[str, ...]
    metrics: tuple[str, ...]
    original_metrics: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]
    whole: tuple[str, ...]

    def read(self, split: str) -> Sequence[Example]:
        """The examples of a split in a fixed order.

        Raises:
            InputError: no such split, or an example that cannot be used.
        """


def check_not_empty(example: Example, where: str) -> Example:
    """The example, if one of its segments has a word in it.

    Raises:
        InputError: naming where the example comes from.
    """
    if not any(text.strip() for text in example.texts):
        raise InputError(f"{where}: the text is empty; fill it or remove the example")
    return example
