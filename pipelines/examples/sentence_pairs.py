"""Examples to the runs of a row: pairs of parts for the sentence objectives, or documents."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pipelines import random_streams
from pipelines.examples.collate import Runs, lookup
from pipelines.store.shards import Shard

# Draws of a partner before giving up: in a corpus where one document is half of the examples, all
# of them hit the document itself once in a million rows. The row is then a true pair.
_PARTNER_DRAWS = 20


class Halves(NamedTuple):
    """The two parts an example is cut into at a sentence boundary; all int64 [batch]."""

    shard: np.ndarray
    start: np.ndarray
    first_length: np.ndarray
    second_length: np.ndarray


def halve(shards: Sequence[Shard], examples: np.ndarray, keys: np.ndarray) -> Halves:
    """Cuts each example at one of its inner sentence boundaries, all equally likely."""
    choices = examples["num_boundaries"].astype(np.int64) - 1
    pivot = examples["first_boundary"] + random_streams.below(keys, choices)
    shard, start = examples["shard"].astype(np.int64), examples["token_start"].astype(np.int64)
    cut = lookup(shards, "sentence_ends", shard, pivot)
    return Halves(shard, start, cut - start, start + examples["length"] - cut)


def order_pairs(
    shards: Sequence[Shard], examples: np.ndarray, keys: np.ndarray
) -> tuple[Runs, np.ndarray]:
    """Both parts of each example, exchanged half of the time.

    Args:
        shards: where the examples lie.
        examples: `EXAMPLE` [batch].
        keys: uint64 [batch]; all of a row's randomness.

    Returns:
        Two runs a row, and int32 [batch] labels: 1 if the parts are in order, else 0.
    """
    halves = halve(shards, examples, random_streams.fold(keys, 0))
    in_order = random_streams.below(random_streams.fold(keys, 1), 2).astype(bool)
    second = halves.start + halves.first_length
    runs = _two_runs(
        (halves.shard, halves.shard),
        np.where(in_order, (halves.start, second), (second, halves.start)),
        np.where(
            in_order,
            (halves.first_length, halves.second_length),
            (halves.second_length, halves.first_length),
        ),
    )
    return runs, in_order.astype(np.int32)


def next_pairs(
    shards: Sequence[Shard],
    examples: np.ndarray,
    all_examples: np.ndarray,
    keys: np.ndarray,
    most: int,
) -> tuple[Runs, np.ndarray]:
    """The first part of each example with its second, or with one of another document.

    Args:
        shards: where the examples lie.
        examples: `EXAMPLE` [batch].
        all_examples: `EXAMPLE` [examples] of the split; partners are drawn from it.
        keys: uint64 [batch]; all of a row's randomness.
        most: tokens of both parts; a longer partner loses its end.

    Returns:
        Two runs a row, and int32 [batch] labels: 1 if the second part is the true one, else 0.
    """
    halves = halve(shards, examples, random_streams.fold(keys, 0))
    is_next = random_streams.below(random_streams.fold(keys, 1), 2).astype(bool)
    partners, found = _partners(examples, all_examples, random_streams.fold(keys, 2))
    others = halve(shards, partners, random_streams.fold(keys, 3))
    is_next |= ~found
    room = most - halves.first_length
    runs = _two_runs(
        (halves.shard, np.where(is_next, halves.shard, others.shard)),
        (
            halves.start,
            np.where(
                is_next, halves.start + halves.first_length, others.start + others.first_length
            ),
        ),
        (
            halves.first_length,
            np.where(is_next, halves.second_length, np.minimum(others.second_length, room)),
        ),
    )
    return runs, is_next.astype(np.int32)


def single_runs(examples: np.ndarray) -> Runs:
    """One run a row: the whole example."""
    return Runs(
        np.arange(len(examples)),
        *(examples[name].astype(np.int64) for name in ("shard", "token_start", "length")),
    )


def packed_runs(shards: Sequence[Shard], examples: np.ndarray) -> Runs:
    """One run a document: each example is cut at the document ends inside it."""
    ends = examples["num_boundaries"].astype(np.int64)
    stop = examples["token_start"].astype(np.int64) + examples["length"]
    row = np.repeat(np.arange(len(examples)), ends)
    shard = examples["shard"].astype(np.int64)
    index = (
        examples["first_boundary"][row]
        + np.arange(len(row))
        - np.repeat(np.cumsum(ends) - ends, ends)
    )
    inner = lookup(shards, "document_ends", shard[row], index)
    # An inner window of a long document ends where no document does.
    is_open = np.ones(len(examples), bool)
    is_open[row[inner == stop[row]]] = False
    row = np.concatenate([row, np.flatnonzero(is_open)])
    run_stop = np.concatenate([inner, stop[is_open]])
    order = np.lexsort((run_stop, row))
    row, run_stop = row[order], run_stop[order]
    is_first = np.diff(row, prepend=-1) > 0
    start = np.where(is_first, examples["token_start"][row], np.roll(run_stop, 1))
    return Runs(row, shard[row], start, run_stop - start)


def _two_runs(shards, starts, lengths) -> Runs:
    batch = len(shards[0])
    interleaved = (np.stack(pair, axis=1).ravel() for pair in (shards, starts, lengths))
    return Runs(np.repeat(np.arange(batch), 2), *interleaved)


def _partners(
    examples: np.ndarray, all_examples: np.ndarray, keys: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """An example of another document for each row, and bool [batch] whether there was one."""
    partners, missing = examples.copy(), np.arange(len(examples))
    for draw in range(_PARTNER_DRAWS):
        keys_of = random_streams.fold(keys[missing], draw)
        drawn = all_examples[random_streams.below(keys_of, len(all_examples))]
        same = (drawn["document"] == examples["document"][missing]) & (
            drawn["shard"] == examples["shard"][missing]
        )
        partners[missing[~same]] = drawn[~same]
        missing = missing[same]
        if not missing.size:
            break
    found = np.ones(len(examples), bool)
    found[missing] = False
    return partners, found
