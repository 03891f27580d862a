"""GLUE and SuperGLUE as one table of facts, by TFDS name."""

import difflib
from dataclasses import dataclass

from pipelines.errors import InputError


@dataclass(frozen=True)
class GlueTask:
    """Facts of a task; labels and their order are those of TFDS.

    Attributes:
        name: of TFDS, `glue/cola`.
        fields: text fields in the order of the segments.
        metrics: what the benchmark scores; their mean is the task's score.
        file: stem of the leaderboard's file.
        original_metrics: what the published code reports instead.
        question: key of `idx` that examples of one question share; "" where it is `idx` itself,
            `pair` where two consecutive numbers belong together.
        choices: field of the record that holds the candidates of a question, one example each.
        writes: how the leaderboard wants a prediction: `id`, `name`, `lower_name`, `number`,
            `choice`, `answers` of a question or `entity`.
        validation: splits that are scored; the score is their mean.
        test: splits whose labels are kept secret.
        model: task whose model answers, for diagnostic sets without training data.
    """

    name: str
    fields: tuple[str, ...]
    metrics: tuple[str, ...]
    file: str
    original_metrics: tuple[str, ...] = ()
    question: str = ""
    choices: tuple[str, ...] = ()
    writes: str = "name"
    validation: tuple[str, ...] = ("validation",)
    test: tuple[str, ...] = ("test",)
    model: str | None = None

    @property
    def benchmark(self) -> str:
        return self.name.split("/")[0]

    @property
    def is_regression(self) -> bool:
        return self.writes == "number"


_SENTENCES = ("sentence1", "sentence2")
_INFERENCE = ("hypothesis", "premise")
_ACCURACY = ("accuracy",)
_ACCURACY_F1 = ("accuracy", "f1")

TASKS = {
    task.name: task
    for task in (
        GlueTask(
            "glue/cola", ("sentence",), ("matthews_correlation",), "CoLA",
            original_metrics=("original_accuracy",), writes="id",
        ),
        GlueTask("glue/sst2", ("sentence",), _ACCURACY, "SST-2", writes="id"),
        GlueTask("glue/mrpc", _SENTENCES, _ACCURACY_F1, "MRPC", writes="id"),
        GlueTask(
            "glue/stsb", _SENTENCES, ("pearson_correlation", "spearman_correlation"), "STS-B",
            writes="number",
        ),
        GlueTask("glue/qqp", ("question1", "question2"), _ACCURACY_F1, "QQP", writes="id"),
        GlueTask(
            "glue/mnli", _INFERENCE, _ACCURACY, "MNLI",
            validation=("validation_matched", "validation_mismatched"),
            test=("test_matched", "test_mismatched"),
        ),
        GlueTask("glue/qnli", ("question", "sentence"), _ACCURACY, "QNLI"),
        GlueTask("glue/rte", _SENTENCES, _ACCURACY, "RTE"),
        GlueTask("glue/wnli", _SENTENCES, _ACCURACY, "WNLI", writes="id"),
        GlueTask(
            "glue/ax", _INFERENCE, ("matthews_correlation",), "AX",
            validation=(), model="glue/mnli",
        ),
        GlueTask(
            "super_glue/boolq", ("question", "passage"), _ACCURACY, "BoolQ", writes="lower_name"
        ),
        GlueTask("super_glue/cb", _INFERENCE, ("accuracy", "macro_f1"), "CB"),
        GlueTask(
            "super_glue/copa", ("premise", "question", "choice"), ("choice_accuracy",), "COPA",
            choices=("choice1", "choice2"), writes="choice",
        ),
        GlueTask(
            "super_glue/multirc", ("question", "answer", "paragraph"),
            ("question_exact_match", "f1"), "MultiRC", question="question", writes="answers",
        ),
        GlueTask(
            "super_glue/record", ("entity", "query", "passage"),
            ("answer_exact_match", "answer_f1"), "ReCoRD",
            original_metrics=("original_choice_accuracy", "original_record_f1"),
            question="query", choices=("entities",), writes="entity",
        ),
        GlueTask("super_glue/rte", _INFERENCE, _ACCURACY, "RTE"),
        GlueTask(
            "super_glue/wic", ("word", *_SENTENCES), _ACCURACY, "WiC", writes="lower_name"
        ),
        GlueTask("super_glue/wsc", ("span1_text", "span2_text", "text"), _ACCURACY, "WSC"),
        GlueTask("super_glue/wsc.fixed", ("span1_text", "span2_text", "text"), _ACCURACY, "WSC"),
        GlueTask(
            "super_glue/axb", _SENTENCES, ("matthews_correlation",), "AX-b",
            original_metrics=("original_accuracy",), validation=("test",), model="super_glue/rte",
        ),
        GlueTask(
            "super_glue/axg", _INFERENCE, ("accuracy", "gender_parity"), "AX-g",
            original_metrics=("original_accuracy",), question="pair",
            validation=("test",), model="super_glue/rte",
        ),
    )
}  # fmt: skip

# What the average of a benchmark is taken over; the diagnostic sets are reported beside it.
BENCHMARKS = {
    "glue": tuple(
        f"glue/{name}"
        for name in ("cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli")
    ),
    "super_glue": tuple(
        f"super_glue/{name}"
        for name in ("boolq", "cb", "copa", "multirc", "record", "rte", "wic", "wsc")
    ),
}
DIAGNOSTICS = {"glue": ("glue/ax",), "super_glue": ("super_glue/axb", "super_glue/axg")}
# A task that stands in for another one in the average.
SAME_TASK = {"super_glue/wsc": "super_glue/wsc.fixed"}


def is_glue(dataset: str) -> bool:
    """Return whether a data set's name means GLUE or SuperGLUE, spelled right or not."""
    return dataset.split("/")[0] in BENCHMARKS


def find(name: str) -> GlueTask:
    """The facts of a task.

    Raises:
        InputError: for an unknown name, with the nearest known one.
    """
    if name not in TASKS:
        near = difflib.get_close_matches(name, TASKS, n=1, cutoff=0.0)[0]
        raise InputError(
            f"--dataset={name} is no task of GLUE or SuperGLUE; did you mean {near}? "
            f"Known: {', '.join(TASKS)}"
        )
    return TASKS[name]
