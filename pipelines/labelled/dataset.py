"""A split of labelled examples in memory: every text tokenised once, rows made on demand."""

import functools
import hashlib
import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np

from pipelines.examples import collate
from pipelines.labelled.examples import Example
from pipelines.tokenizers.sentencepiece_model import Vocabulary


@dataclass(frozen=True)
class LabelledSet:
    """Examples and their tokens.

    Attributes:
        examples: as they were read.
        tokens: int32; the distinct texts, one after the other.
        starts: int64 [examples, segments]; first token of each segment.
        lengths: int64 [examples, segments]; tokens of each segment, after truncation.
        labels: int32 [examples], or float32 for a regression.
        words: the vocabulary.
        max_seq_length: width of the rows.
        num_truncated: examples that did not fit.
    """

    examples: Sequence[Example]
    tokens: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    labels: np.ndarray
    words: Vocabulary
    max_seq_length: int
    num_truncated: int

    def __len__(self) -> int:
        return len(self.examples)

    @property
    def fingerprint(self) -> str:
        """sha256 of tokens, lengths and labels, hexadecimal."""
        digest = hashlib.sha256()
        for array in (self.tokens, self.starts, self.lengths, self.labels):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    @functools.cached_property
    def by_question(self) -> np.ndarray:
        """int64 [examples], all positions: those of a question together, the questions in order."""
        questions = np.array([example.question for example in self.examples])
        _, first, number = np.unique(questions, return_index=True, return_inverse=True)
        return np.argsort(first[number], kind="stable")

    def rows(self, index: np.ndarray) -> dict[str, np.ndarray]:
        """The examples at these positions, as in `schema.classification_batch`, without weights."""
        count, parts = len(index), self.lengths.shape[1]
        runs = collate.Runs(
            np.repeat(np.arange(count), parts),
            np.zeros(count * parts, np.int64),
            self.starts[index].ravel(),
            self.lengths[index].ravel(),
        )
        # Wide enough for the separators that truncation from the right cuts off again.
        width = self.max_seq_length + parts
        store = SimpleNamespace(tokens=self.tokens)
        made = collate.assemble([store], runs, count, width, self.words)
        seq = self.max_seq_length
        return {
            "token_ids": made.token_ids[:, :seq],
            "segment_ids": made.run_ids[:, :seq],
            "padding_mask": np.arange(seq) < made.lengths[:, None],
            "labels": self.labels[index],
            "example_index": index.astype(np.int32),
        }


def tokenise(
    examples: Sequence[Example],
    words: Vocabulary,
    max_seq_length: int,
    truncation: str = "longest",
    is_regression: bool = False,
) -> LabelledSet:
    """Tokenises a split.

    Args:
        examples: all with the same number of segments.
        words: the vocabulary.
        max_seq_length: width of the rows, special pieces included.
        truncation: "longest" or "right", see `segments`.
        is_regression: keep labels as numbers.
    """
    # Choices of a question and answers to a paragraph repeat texts: each is tokenised once.
    distinct = {}
    where = np.array(
        [[distinct.setdefault(t, len(distinct)) for t in e.texts] for e in examples], np.int64
    )
    ids = words.encode_batch(list(distinct), num_threads=os.cpu_count() or 1)
    sizes = np.fromiter(map(len, ids), np.int64, len(ids))
    lengths = sizes[where]
    if truncation == "longest":
        kept = collate.longest_first(lengths, max_seq_length - 1 - lengths.shape[1])
    else:
        kept = collate.from_right(lengths, max_seq_length - 1)
    return LabelledSet(
        examples=examples,
        tokens=np.fromiter(itertools.chain.from_iterable(ids), np.int32, sizes.sum()),
        starts=(np.cumsum(sizes) - sizes)[where],
        lengths=kept,
        labels=np.array([e.label for e in examples], np.float32 if is_regression else np.int32),
        words=words,
        max_seq_length=max_seq_length,
        num_truncated=int(np.sum(np.any(kept < lengths, axis=1))),
    )
