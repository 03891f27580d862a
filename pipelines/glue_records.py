"""Records of GLUE and SuperGLUE to examples: choices apart, spans marked, markup removed."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.glue_tasks import GlueTask
from pipelines.labelled_records import UNLABELLED, Example

_MARKUP = re.compile(r"<br>|</?b>")


def examples(task: GlueTask, record: Mapping[str, Any], mark_spans: bool) -> Iterator[Example]:
    """The examples of one record: one for each choice of COPA and entity of ReCoRD, else one.

    Args:
        task: the facts of the task.
        record: as `tfds.as_numpy` gives it.
        mark_spans: put the words that WiC and WSC ask about between signs.
    """
    record = {name: _text(value) for name, value in record.items()}
    number, question = _numbers(task, record["idx"])
    if task.name == "super_glue/record":
        answers = tuple(_text(answer) for answer in record["answers"])
        for entity in map(_text, record["entities"]):
            label = int(entity in answers) if answers else UNLABELLED
            texts = (entity, record["query"], record["passage"])
            yield Example(texts, label, question, number, entity, answers)
    elif task.choices:
        for position, choice in enumerate(task.choices):
            right = int(record["label"])
            label = int(right == position) if right != UNLABELLED else UNLABELLED
            texts = (record["premise"], record["question"], record[choice])
            yield Example(texts, label, question, number, record[choice])
    else:
        if mark_spans:
            record = _marked(task.name, record)
        texts = tuple(record[field] for field in task.fields)
        if task.name == "super_glue/multirc":
            texts = tuple(_MARKUP.sub(" ", text) for text in texts)
        label = float(record["label"]) if task.is_regression else int(record["label"])
        yield Example(texts, label, question, number)


def _text(value: Any) -> Any:
    return value.decode("utf-8") if isinstance(value, bytes) else value


def _numbers(task: GlueTask, idx: Any) -> tuple[tuple[int, ...], int]:
    """The number of an example as the leaderboard has it, and that of its question."""
    if isinstance(idx, Mapping):
        order = ("paragraph", "question", "answer", "passage", "query")
        return tuple(int(idx[key]) for key in order if key in idx), int(idx[task.question])
    return (int(idx),), int(idx) // 2 if task.question == "pair" else int(idx)


def _marked(name: str, record: dict[str, Any]) -> dict[str, Any]:
    """`* word *` in both sentences of WiC; `* first *` and `# second #` span in the text of WSC.

    The spaces leave the pieces of a word as they are elsewhere.
    """
    if name == "super_glue/wic":
        for side in "12":
            text, start, end = (record[f"{key}{side}"] for key in ("sentence", "start", "end"))
            marked = f"{text[:start]}* {text[start:end]} *{text[end:]}"
            record = record | {f"sentence{side}": marked}
    elif name.startswith("super_glue/wsc"):
        words = record["text"].split()
        for side, sign in (("1", "*"), ("2", "#")):
            start = int(record[f"span{side}_index"])
            end = start + max(1, len(record[f"span{side}_text"].split()))
            if start < len(words):
                last = min(end, len(words)) - 1
                words[start] = f"{sign} {words[start]}"
                words[last] = f"{words[last]} {sign}"
        record = record | {"text": " ".join(words)}
    return record
