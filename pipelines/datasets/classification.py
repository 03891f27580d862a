"""Labelled data of any source, and streams of their batches.

As in pre-training, which example comes at which step is a pure function of (seed, step).
"""

import functools
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipelines import random_streams, schema
from pipelines.datasets import indexed_dataset
from pipelines.errors import InputError
from pipelines.labelled import dataset, files, glue
from pipelines.labelled.dataset import LabelledSet
from pipelines.labelled.examples import UNLABELLED, LabelledSource
from pipelines.labelled.glue_source import GlueSource
from pipelines.labelled.python_docs import DocumentedLibrary
from pipelines.settings import DataSettings
from pipelines.tokenizers import sentencepiece_model, sentencepiece_training
from pipelines.tokenizers.sentencepiece_model import Vocabulary

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True)
class LabelledData:
    """A source and the vocabulary that it is read with.

    Attributes:
        source: where the examples come from.
        settings: sequence length, truncation.
        vocabulary: of the token ids.
        labels: names of the classes in the order of the model; empty for a regression.
    """

    source: LabelledSource
    settings: DataSettings
    vocabulary: Vocabulary
    labels: tuple[str, ...]

    @property
    def is_regression(self) -> bool:
        return not self.labels

    @functools.cached_property
    def train(self) -> LabelledSet:
        """The training split, or its first `max_train_examples` records.

        Raises:
            InputError: there is none, or an example has no label.
        """
        return self._labelled("train", self.settings.max_train_examples)

    def split(self, name: str, labelled: bool = True) -> LabelledSet:
        """The examples of a split.

        Raises:
            InputError: no such split, or labels are asked for and one is missing.
        """
        return self._labelled(name) if labelled else self._tokenise(self.source.read(name))

    def validation(self, names: Iterable[str] | None = None) -> dict[str, LabelledSet]:
        """The splits that are scored, or those of these names.

        Raises:
            InputError: there is none, or one has no labels.
        """
        names = tuple(names or self.source.validation)
        if not names:
            raise InputError(
                f"--dataset={self.settings.dataset} has no split with labels to score on"
            )
        return {name: self._labelled(name) for name in names}

    def fingerprint(self, sets: Iterable[LabelledSet]) -> str:
        """sha256 over splits, hexadecimal."""
        return hashlib.sha256("".join(s.fingerprint for s in sets).encode()).hexdigest()

    def _labelled(self, name: str, most: int | None = None) -> LabelledSet:
        examples = self.source.read(name)
        if most is not None:
            numbers = dict.fromkeys(example.number for example in examples)
            last = set(list(numbers)[:most])
            examples = [example for example in examples if example.number in last]
        for example in examples:
            if example.label == UNLABELLED:
                raise InputError(
                    f"--dataset={self.settings.dataset}: the {name} split has no labels; score "
                    f"{' or '.join(self.source.validation)}, or write --predictions of it"
                )
            if not self.is_regression and not 0 <= example.label < len(self.source.labels):
                raise InputError(
                    f"--dataset={self.settings.dataset}: label {example.label} of {name} "
                    f"{example.number} is none of 0 to {len(self.source.labels) - 1}"
                )
        return self._tokenise(examples)

    def _tokenise(self, examples) -> LabelledSet:
        theirs, ours = self.source.labels, self.labels
        if theirs != ours:
            # CB and MNLI have the same classes in another order.
            number = {UNLABELLED: UNLABELLED} | {i: ours.index(n) for i, n in enumerate(theirs)}
            examples = [example._replace(label=number[example.label]) for example in examples]
        return dataset.tokenise(
            examples,
            self.vocabulary,
            self.settings.max_seq_length,
            self.settings.truncation,
            self.is_regression,
        )


def open_source(settings: DataSettings, labels: tuple[str, ...] | None = None) -> LabelledSource:
    """Open the source that `settings.dataset` names.

    Args:
        settings: which data.
        labels: the classes of a model that is there already, for files without all of them.

    Raises:
        InputError: no such data, not prepared, or not readable.
    """
    if settings.dataset == "python_docs":
        return DocumentedLibrary(settings)
    if files.is_file(settings.dataset):
        return files.LabelledFiles(settings, labels)
    if glue.is_glue(settings.dataset):
        return GlueSource(settings.dataset, settings.data_dir, settings.mark_spans)
    raise InputError(
        f"--dataset={settings.dataset} cannot be classified; use python_docs, a .tsv, .csv, .jsonl "
        "or .parquet file, or a task of GLUE or SuperGLUE such as glue/cola or super_glue/boolq"
    )


def segment_names(settings: DataSettings) -> tuple[str, ...]:
    """Return the names of the segments of an example, in order; known without the data."""
    if settings.dataset == "python_docs":
        return ("paragraph",)
    if files.is_file(settings.dataset):
        return tuple(settings.text_fields.split(","))
    return glue.find(settings.dataset).fields


def open_data(
    settings: DataSettings,
    words: Vocabulary | None = None,
    labels: tuple[str, ...] | None = None,
) -> LabelledData:
    """The labelled data of these settings.

    Args:
        words: the vocabulary; `settings.vocab_filepath` if None, and without that one is trained
            on the texts of the training split.
        labels: the classes of a model that is there already; those of the data if None.

    Raises:
        InputError: the data or the settings are wrong, or the data have other classes.
    """
    if words is None and settings.vocab_filepath:
        words = sentencepiece_model.load(settings.vocab_filepath)
    source = open_source(settings, labels)
    if labels is not None and set(source.labels) != set(labels):
        raise InputError(
            f"--dataset={settings.dataset} has the labels {_listed(source.labels)}, the model "
            f"{_listed(labels)}; score a task with the model's labels"
        )
    if words is None:
        texts = dict.fromkeys(text for e in source.read("train") for text in e.texts)
        words = sentencepiece_training.train(texts, settings.vocab_size, settings.vocab_type)
    return LabelledData(source, settings, words, source.labels if labels is None else labels)


def batch_at(data: LabelledSet, seed: int, step: int, rows: range, batch_size: int) -> dict:
    """Some rows of the training batch of a step, as in `schema.classification_batch`."""
    size = len(data)
    position = step * batch_size + np.asarray(rows)
    epoch, index = position // size, position % size
    order = random_streams.fold(random_streams.stream_key(seed, "order"), epoch)
    example = random_streams.permutation(order, index, size)
    return data.rows(example) | {"example_weights": np.ones(len(rows), np.float32)}


def evaluation_batch_at(data: LabelledSet, number: int, rows: range, batch_size: int) -> dict:
    """Some rows of a batch of the split; those behind its end have weight zero.

    It goes by questions, so that the first batches show whole ones.
    """
    position = number * batch_size + np.asarray(rows)
    real = position < len(data)
    batch = data.rows(data.by_question[np.where(real, position, 0)])
    return batch | {"example_weights": real.astype(np.float32)}


def train_stream(
    data: LabelledSet,
    batch_size: int,
    seed: int,
    start_step: int = 0,
    host_index: int = 0,
    num_hosts: int = 1,
) -> "tf.data.Dataset":
    """The endless stream of training batches from a step on; see `pretraining.train_stream`."""
    rows = indexed_dataset.host_rows(batch_size, host_index, num_hosts)
    return indexed_dataset.stream(
        lambda step: batch_at(data, seed, step, rows, batch_size),
        range(start_step, 2**62),
        _specs(data, len(rows)),
    )


def evaluation_stream(
    data: LabelledSet, batch_size: int, host_index: int = 0, num_hosts: int = 1
) -> "tf.data.Dataset":
    """Every example of a split once."""
    rows = indexed_dataset.host_rows(batch_size, host_index, num_hosts)
    return indexed_dataset.stream(
        lambda number: evaluation_batch_at(data, number, rows, batch_size),
        range(-(-len(data) // batch_size)),
        _specs(data, len(rows)),
    )


def _listed(labels: tuple[str, ...]) -> str:
    return ", ".join(labels) or "of a regression"


def _specs(data: LabelledSet, rows: int) -> dict[str, schema.ArraySpec]:
    return schema.classification_batch(data.max_seq_length, rows, data.labels.dtype.kind == "f")
