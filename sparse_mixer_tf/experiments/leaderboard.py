"""Predictions as the GLUE and SuperGLUE leaderboards want them."""

import json
from collections.abc import Sequence

import numpy as np

from pipelines.labelled.examples import Example
from pipelines.labelled.glue import GlueTask
from sparse_mixer_tf.metrics.glue import Predictions

_MNLI = {"test_matched": "-m", "test_mismatched": "-mm"}


def file_name(task: GlueTask, split: str) -> str:
    """`CoLA.tsv`, `MNLI-mm.tsv`, `BoolQ.jsonl`."""
    suffix = ".tsv" if task.benchmark == "glue" else ".jsonl"
    return f"{task.file}{_MNLI.get(split, '')}{suffix}"


def content(
    task: GlueTask, labels: Sequence[str], examples: Sequence[Example], outputs: np.ndarray
) -> str:
    """The file for one split.

    Args:
        task: the facts of the task.
        labels: names of the classes.
        examples: of the split, in its order.
        outputs: float [examples, classes] of the model.

    References:
        https://gluebenchmark.com/faq, https://super.gluebenchmark.com/faq
    """
    order = sorted(range(len(examples)), key=lambda i: examples[i].number)
    examples, outputs = [examples[i] for i in order], outputs[order]
    if task.writes == "answers":
        records = _multirc(examples, outputs)
    elif task.choices:
        records = _chosen(task, examples, outputs)
    else:
        said = _said(task, labels, outputs)
        records = [{"idx": e.number[-1], "label": s} for e, s in zip(examples, said, strict=True)]
    if task.benchmark == "glue":
        rows = [f"{record['idx']}\t{record['label']}" for record in records]
        return "\n".join(["index\tprediction", *rows]) + "\n"
    return "".join(json.dumps(record) + "\n" for record in records)


def _said(task: GlueTask, labels: Sequence[str], outputs: np.ndarray) -> list:
    if task.writes == "number":
        return [f"{value:.3f}" for value in np.clip(outputs[:, 0], 0, 5)]
    classes = outputs.argmax(-1)
    if task.writes == "id":
        return classes.tolist()
    names = [labels[c] for c in classes]
    return [name.lower() for name in names] if task.writes == "lower_name" else names


def _chosen(task: GlueTask, examples: list[Example], outputs: np.ndarray) -> list[dict]:
    """COPA by the position of the choice, ReCoRD by the text of the entity."""
    questions = np.array([example.question for example in examples])
    records = []
    for i in Predictions(outputs, np.zeros(len(outputs)), questions).chosen:
        position = int(i - np.flatnonzero(questions == questions[i])[0])
        said = position if task.writes == "choice" else examples[i].candidate
        records.append({"idx": int(questions[i]), "label": said})
    return records


def _multirc(examples: list[Example], outputs: np.ndarray) -> list[dict]:
    """Answers within questions within paragraphs."""
    paragraphs = {}
    for example, said in zip(examples, outputs.argmax(-1).tolist(), strict=True):
        paragraph, question, answer = example.number
        answers = paragraphs.setdefault(paragraph, {}).setdefault(question, [])
        answers.append({"idx": answer, "label": said})
    return [
        {
            "idx": paragraph,
            "passage": {
                "questions": [
                    {"idx": question, "answers": answers} for question, answers in questions.items()
                ]
            },
        }
        for paragraph, questions in paragraphs.items()
    ]
