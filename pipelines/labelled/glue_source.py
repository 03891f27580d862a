"""GLUE and SuperGLUE from TFDS data that are already prepared; nothing is ever downloaded.

Records of GLUE and SuperGLUE to examples: choices apart, spans marked, markup removed.
"""

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.errors import InputError
from pipelines.labelled import glue
from pipelines.labelled.examples import UNLABELLED, Example, check_not_empty
from pipelines.labelled.glue import GlueTask


class GlueSource:
    """One task of a benchmark.

    See `LabelledSource`; splits that are not prepared are left out of `validation` and `test`.

    Attributes:
        task: the facts of the task.
        sizes: examples of every split that is prepared.
        missing: splits that the benchmark has and that are not prepared.
    """

    def __init__(self, name: str, data_dir: str | None, mark_spans: bool = True):
        """Finds the data.

        Raises:
            InputError: no such task, or it is not prepared.
        """
        import tensorflow_datasets as tfds

        self.task = glue.find(name)
        self._tfds, self._mark_spans = tfds, mark_spans
        self._data_dir = data_dir and os.path.expanduser(data_dir)
        self._builder = tfds.builder(name, data_dir=self._data_dir, try_gcs=False)
        self.sizes = {s: info.num_examples for s, info in self._builder.info.splits.items()}
        if not self.sizes:
            where = data_dir or os.path.join("~", "tensorflow_datasets")
            raise InputError(
                f"--dataset={name} is not prepared in {where}; run "
                f"`tfds build {name} --data_dir={where}` first, or point --data_dir at its folder"
            )
        if self.task.is_regression:
            self.labels = ()
        elif self.task.choices:
            self.labels = ("wrong", "right")
        else:
            self.labels = tuple(self._builder.info.features["label"].names)
        self.metrics, self.original_metrics = self.task.metrics, self.task.original_metrics
        wanted = (*self.task.validation, *self.task.test)
        self.missing = tuple(split for split in wanted if split not in self.sizes)
        self.validation = tuple(s for s in self.task.validation if s in self.sizes)
        self.test = tuple(s for s in self.task.test if s in self.sizes)
        self.whole = self.validation
        sizes = ", ".join(f"{split} {size}" for split, size in self.sizes.items())
        self.description = f"{self._builder.info.full_name} ({sizes})"

    def read(self, split: str) -> list[Example]:
        """The examples of a split in file order.

        Raises:
            InputError: no such split, or an example without any text.
        """
        if split not in self.sizes:
            raise InputError(
                f"--dataset={self.task.name} has no split {split!r}; "
                f"there are {', '.join(self.sizes)}"
            )
        dataset = self._tfds.load(
            self.task.name,
            split=split,
            data_dir=self._data_dir,
            download=False,
            shuffle_files=False,
            # One file after the other: interleaved files would come in another order.
            read_config=self._tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False),
        )
        read = []
        for record in self._tfds.as_numpy(dataset):
            for example in examples(self.task, record, self._mark_spans):
                where = f"{self.task.name} {split} {example.number[-1]}"
                read.append(check_not_empty(example, where))
        return read


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
