"""Runs of stored tokens to padded rows: [CLS] run [SEP] run [SEP] …, a whole batch at once.

How much of each segment of an example fits: a whole split at once.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pipelines.store.shards import Shard
from pipelines.tokenizers.sentencepiece_model import Vocabulary


class Runs(NamedTuple):
    """Runs of consecutive tokens, ordered by row; every row has at least one.

    Attributes:
        row: int64 [runs]; the row of the batch a run goes to.
        shard: int64 [runs].
        start: int64 [runs]; first token, as a position in the shard.
        length: int64 [runs]; number of tokens.
    """

    row: np.ndarray
    shard: np.ndarray
    start: np.ndarray
    length: np.ndarray


class Rows(NamedTuple):
    """Padded rows.

    Attributes:
        token_ids: int32 [batch, seq].
        run_ids: int32 [batch, seq]; number of the run within its row: 0 for [CLS] and the first
            run with its [SEP], 1 for the second with its own, …; 0 on padding.
        lengths: int64 [batch]; tokens of each row, special pieces included.
    """

    token_ids: np.ndarray
    run_ids: np.ndarray
    lengths: np.ndarray


def assemble(
    shards: Sequence[Shard], runs: Runs, batch_size: int, max_seq_length: int, words: Vocabulary
) -> Rows:
    """Copies runs into rows, each run followed by a separator.

    Args:
        shards: where the runs lie.
        runs: what each row holds; with its separators and [CLS] it must fit.
        batch_size: number of rows.
        max_seq_length: their width.
        words: the vocabulary, for the special pieces.
    """
    token_ids = np.full((batch_size, max_seq_length), words.pad_id, np.int32)
    run_ids = np.zeros((batch_size, max_seq_length), np.int32)
    first_run = np.searchsorted(runs.row, np.arange(batch_size))
    width = runs.length + 1
    before = np.cumsum(width) - width
    column = 1 + before - before[first_run][runs.row]
    number = np.arange(len(runs.row)) - first_run[runs.row]
    at = runs.row * max_seq_length + column

    token_ids[:, 0] = words.cls_id
    token_ids.ravel()[_spread(at, runs.length)] = _read(shards, runs)
    token_ids.ravel()[at + runs.length] = words.sep_id
    run_ids.ravel()[_spread(at, width)] = np.repeat(number, width)
    return Rows(token_ids, run_ids, 1 + np.add.reduceat(width, first_run))


def lookup(shards: Sequence[Shard], array: str, shard: np.ndarray, index: np.ndarray) -> np.ndarray:
    """`array[index]` of each element's own shard, int64."""
    values = np.empty(len(index), np.int64)
    for number in np.unique(shard):
        chosen = shard == number
        values[chosen] = getattr(shards[number], array)[index[chosen]]
    return values


def _read(shards: Sequence[Shard], runs: Runs) -> np.ndarray:
    """The tokens of all runs, one after the other."""
    source = _spread(runs.start, runs.length)
    if len(shards) == 1:
        return shards[0].tokens[source]
    return lookup(shards, "tokens", np.repeat(runs.shard, runs.length), source)


def _spread(start: np.ndarray, length: np.ndarray) -> np.ndarray:
    """start[0], start[0] + 1, … for length[0] numbers, then start[1], …: int64 [sum of length]."""
    ends = np.cumsum(length)
    return np.arange(ends[-1]) + np.repeat(start - ends + length, length)


def longest_first(lengths: np.ndarray, budget: int) -> np.ndarray:
    """Lengths after the longest segment has been shortened until all fit.

    Args:
        lengths: int64 [examples, segments].
        budget: tokens that all segments of an example may have together.

    Returns:
        int64 [examples, segments]; rows that fit are unchanged, the others sum to the budget.
    """
    examples, segments = lengths.shape
    order = np.argsort(lengths, axis=1, kind="stable")
    kept = np.empty_like(lengths)
    left = np.full(examples, budget, np.int64)
    rows = np.arange(examples)
    # From the shortest: each takes what it needs, at most an even share of what is left.
    for rank in range(segments):
        column = order[:, rank]
        taken = np.minimum(lengths[rows, column], left // (segments - rank))
        kept[rows, column] = taken
        left -= taken
    return kept


def from_right(lengths: np.ndarray, budget: int) -> np.ndarray:
    """Lengths after the concatenation has been cut from the right, as the original does.

    Separators count as tokens of the concatenation there, so that the last one, or more of them,
    can be lost; here they are part of no segment, and `budget` does not hold them.

    Args:
        lengths: int64 [examples, segments].
        budget: tokens of a row besides [CLS].

    Returns:
        int64 [examples, segments]; as many tokens of each as come before the cut.
    """
    ends = np.cumsum(lengths + 1, axis=1)
    starts = ends - lengths - 1
    return np.clip(budget - starts, 0, lengths)
