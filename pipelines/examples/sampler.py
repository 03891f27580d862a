"""The example at each position of an epoch, at the same cost for stores of any size.

A split of up to `shards.GROUP` shards is one group: an epoch is a permutation of its examples. A
larger one is divided into groups of shards, anew in each epoch; they come one after the other, and
within each its examples are permuted. How many positions a group has must be known without opening
it, so it follows from the number of its tokens and from the examples that a few shards of the split
have for theirs: a group with more examples than positions leaves some out, others in each epoch;
one with fewer repeats some.
"""

import functools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from pipelines import random_streams
from pipelines.examples import example_index
from pipelines.settings import DataSettings
from pipelines.store.shards import GROUP
from pipelines.store.store import TokenStore

# An example's name holds its group above so many bits, and how often the group was gone through.
_GROUP_BIT, _TURN_BIT = 36, 56
# Tokens, about, whose examples are counted: those of two shards, of more where they are small.
_SAMPLED_TOKENS = 2**22


class Part(NamedTuple):
    """Positions whose examples come from one table.

    Attributes:
        rows: int64 [rows]; which of the positions.
        table: `cutting.EXAMPLE` [examples].
        example: int64 [rows]; rows of the table.
        name: int64 [rows]; names each time that an example comes in an epoch.
        again: bool [rows]; the example has come before in this epoch.
    """

    rows: np.ndarray
    table: np.ndarray
    example: np.ndarray
    name: np.ndarray
    again: np.ndarray


def size(store: TokenStore, settings: DataSettings, split: str) -> int:
    """Positions of an epoch: the examples of one group, about as many of several.

    Raises:
        InputError: there are none.
    """
    if len(store.splits[split]) <= GROUP:
        return len(example_index.examples(store, split, settings))
    return int(_expected(store, split, settings).sum())


def parts(
    store: TokenStore, settings: DataSettings, split: str, keys: np.ndarray, index: np.ndarray
) -> Iterator[Part]:
    """Yield the examples at some positions, a part for each group of shards.

    Args:
        store: the tokens.
        settings: sequence length and objective.
        split: "train" or "validation".
        keys: uint64, broadcastable with index; the epoch's randomness, one key an epoch.
        index: int64 [positions] in [0, size).

    Raises:
        InputError: no example of a group fits the sequence length.
    """
    keys = np.broadcast_to(keys, index.shape)
    if len(store.splits[split]) <= GROUP:
        table = example_index.examples(store, split, settings)
        example = random_streams.permutation(keys, index, len(table))
        yield Part(np.arange(len(index)), table, example, example, np.zeros(len(index), bool))
        return
    for key in np.unique(keys):
        members, ends = _groups(store, split, settings, int(key))
        group = np.searchsorted(ends, index, side="right")
        for number in np.unique(group[keys == key]):
            rows = np.flatnonzero((keys == key) & (group == number))
            table = example_index.group_examples(store, split, settings, members[number])
            turn, at = np.divmod(index[rows] - (ends[number - 1] if number else 0), len(table))
            example = random_streams.permutation(
                random_streams.fold(key, 1 + number), at, len(table)
            )
            name = example + (int(number) << _GROUP_BIT) + (turn << _TURN_BIT)
            yield Part(rows, table, example, name, turn > 0)


@functools.lru_cache(maxsize=8)
def _groups(
    store: TokenStore, split: str, settings: DataSettings, key: int
) -> tuple[list[tuple[int, ...]], np.ndarray]:
    """The shards of each group of an epoch, and int64 [groups] where its positions end."""
    expected = _expected(store, split, settings)
    shards = random_streams.permutation(
        random_streams.fold(np.array([key], np.uint64), 0), np.arange(len(expected)), len(expected)
    )
    groups = np.array_split(shards, -(-len(shards) // GROUP))
    ends = np.cumsum([expected[group].sum() for group in groups])
    return [tuple(sorted(group.tolist())) for group in groups], ends


@functools.lru_cache(maxsize=8)
def _expected(store: TokenStore, split: str, settings: DataSettings) -> np.ndarray:
    """int64 [shards]: about how many examples each has; one at least."""
    tokens = store.splits[split].num_tokens
    sampled = int(np.clip(_SAMPLED_TOKENS // tokens.mean(), 2, GROUP))
    numbers = np.linspace(0, len(tokens) - 1, sampled).astype(int)
    table = example_index.group_examples(store, split, settings, tuple(numbers.tolist()))
    return np.maximum(1, tokens * len(table) // tokens[numbers].sum())
