"""Documents to examples: where each example of a sequence length starts and ends.

An example is a run of tokens of one shard. Which runs there are follows from the lengths of
sentences and documents alone, so the table is computed once for a store, a sequence length and an
objective, and kept beside the store. Of a store with many shards only those of a group are cut,
when their turn comes.
"""

import functools
import os
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipelines import filesystem
from pipelines.errors import InputError
from pipelines.settings import DataSettings
from pipelines.store.shards import Shard
from pipelines.store.store import TokenStore

# Positions count from the start of the shard. Boundaries are sentence ends for the pair objectives,
# document ends when documents are packed, else unused.
EXAMPLE = np.dtype(
    [
        ("shard", "<u4"),
        ("document", "<u4"),
        ("token_start", "<u4"),
        ("length", "<u4"),
        ("first_boundary", "<u4"),
        ("num_boundaries", "<u4"),
    ]
)
_FORMAT = 1
_one_at_a_time = threading.Lock()


@functools.lru_cache(maxsize=8)
def examples(store: TokenStore, split: str, settings: DataSettings) -> np.ndarray:
    """The examples of a split, `EXAMPLE` [examples], memory-mapped where it could be kept on disk.

    Raises:
        InputError: no document is long enough for an example.
    """
    numbers = range(len(store.splits[split]))
    if filesystem.is_remote(store.path):
        return _refuse_empty(_cut_all(store, split, settings, numbers), split, settings)
    path = store.path / "examples" / f"{split}-{_name(settings)}.{_FORMAT}"
    if not path.exists():
        table = _cut_all(store, split, settings, numbers)
        if not _keep(table, path):
            return _refuse_empty(table, split, settings)
    table = (
        np.fromfile(path, EXAMPLE) if path.stat().st_size == 0 else np.memmap(path, EXAMPLE, "r")
    )
    return _refuse_empty(table.view(np.ndarray), split, settings)


def group_examples(
    store: TokenStore, split: str, settings: DataSettings, numbers: tuple[int, ...]
) -> np.ndarray:
    """The examples of some shards, `EXAMPLE` [examples]; the last few groups are remembered.

    Raises:
        InputError: no document is long enough for an example.
    """
    # Threads that come to a group together wait for one of them to cut it.
    with _one_at_a_time:
        return _group_examples(store, split, settings, numbers)


@functools.lru_cache(maxsize=4)
def _group_examples(
    store: TokenStore, split: str, settings: DataSettings, numbers: tuple[int, ...]
) -> np.ndarray:
    return _refuse_empty(_cut_all(store, split, settings, numbers), split, settings)


def most_tokens(settings: DataSettings) -> int:
    """Tokens that an example has room for beside the special pieces."""
    if settings.pair_objective != "none":
        return settings.max_seq_length - 3
    return settings.max_seq_length - (1 if settings.pack_documents else 2)


def cut_pairs(sentence_ends: np.ndarray, document_ends: np.ndarray, most: int) -> np.ndarray:
    """Runs of two or more sentences of one document, with at most `most` tokens.

    The walk of the published pipeline: from sentence j, if it and the next one are longer than
    `most` together, go on with j + 1; else take as many sentences as fit and go on behind them.
    All documents are walked at once.

    Args:
        sentence_ends: uint32 [sentences]; exclusive ends in tokens.
        document_ends: uint32 [documents]; each is also a sentence end.
        most: tokens of an example.

    Returns:
        `EXAMPLE` [examples], ordered by token_start, shard 0; boundaries are sentence ends.
    """
    ends = sentence_ends.astype(np.int64)
    starts = np.concatenate([[0], ends[:-1]])
    document_stops = np.searchsorted(ends, document_ends, side="left") + 1
    document_starts = np.concatenate([[0], document_stops[:-1]])
    sentences_of = document_stops - document_starts
    stop = np.repeat(document_stops, sentences_of)
    fitting = np.minimum(np.searchsorted(ends, starts + most, side="right"), stop)
    is_example = fitting - np.arange(len(ends)) >= 2
    following = np.where(is_example, fitting, np.arange(len(ends)) + 1)
    first = _walk(document_starts, document_stops, following)
    first = first[is_example[first]]
    table = np.zeros(len(first), EXAMPLE)
    table["document"] = np.repeat(np.arange(len(document_stops)), sentences_of)[first]
    table["token_start"] = starts[first]
    table["length"] = ends[fitting[first] - 1] - starts[first]
    table["first_boundary"] = first
    table["num_boundaries"] = fitting[first] - first
    return table


def cut_windows(document_ends: np.ndarray, most: int) -> np.ndarray:
    """Each document in windows of `most` tokens; its last window is shorter.

    Returns:
        `EXAMPLE` [examples], ordered by token_start, shard 0; without boundaries.
    """
    ends = document_ends.astype(np.int64)
    starts = np.concatenate([[0], ends[:-1]])
    windows = -(-(ends - starts) // most)
    document = np.repeat(np.arange(len(ends)), windows)
    number = np.arange(len(document)) - np.repeat(np.cumsum(windows) - windows, windows)
    table = np.zeros(len(document), EXAMPLE)
    table["document"] = document
    table["token_start"] = starts[document] + number * most
    table["length"] = np.minimum(ends[document] - table["token_start"], most)
    return table


def cut_packed(document_ends: np.ndarray, most: int) -> np.ndarray:
    """Consecutive windows of documents that fill a sequence together, each closed by a separator.

    Args:
        document_ends: uint32 [documents]; exclusive ends in tokens.
        most: tokens of a sequence, a separator behind each document included.

    Returns:
        `EXAMPLE` [examples], ordered by token_start, shard 0; boundaries are the document ends
        within the run, of which there are none if it is the inner window of a long document.
    """
    windows = cut_windows(document_ends, most - 1)
    cost = np.cumsum(windows["length"].astype(np.int64) + 1)
    before = np.concatenate([[0], cost[:-1]])
    following = np.searchsorted(cost, before + most, side="right")
    first = _walk(np.array([0]), np.array([len(windows)]), following)
    last = following[first] - 1
    table = windows[first]
    stop = windows["token_start"][last] + windows["length"][last]
    table["length"] = stop - table["token_start"]
    boundary = np.searchsorted(document_ends, table["token_start"], side="right")
    table["first_boundary"] = boundary
    table["num_boundaries"] = np.searchsorted(document_ends, stop, side="right") - boundary
    return table


def _walk(heads: np.ndarray, stops: np.ndarray, following: np.ndarray) -> np.ndarray:
    """The sorted indices met from each head by way of `following` until its stop."""
    visited = np.zeros(len(following), bool)
    at, stops = heads[heads < stops], stops[heads < stops]
    while at.size:
        visited[at] = True
        at = following[at]
        inside = at < stops
        at, stops = at[inside], stops[inside]
    return np.flatnonzero(visited)


def _cut_all(
    store: TokenStore, split: str, settings: DataSettings, numbers: Sequence[int]
) -> np.ndarray:
    opened = store.splits[split].several(numbers)
    tables = [_cut(shard, n, settings) for n, shard in zip(numbers, opened, strict=True)]
    return np.concatenate(tables) if tables else np.empty(0, EXAMPLE)


def _cut(shard: Shard, number: int, settings: DataSettings) -> np.ndarray:
    most = most_tokens(settings)
    if settings.pair_objective != "none":
        table = cut_pairs(shard.sentence_ends, shard.document_ends, most)
    elif settings.pack_documents:
        table = cut_packed(shard.document_ends, most)
    else:
        table = cut_windows(shard.document_ends, most)
    table["shard"] = number
    return table


def _name(settings: DataSettings) -> str:
    kind = "pairs" if settings.pair_objective != "none" else "windows"
    return f"{'packed' if settings.pack_documents else kind}-{settings.max_seq_length}"


def _keep(table: np.ndarray, path: Path) -> bool:
    """Writes a table for later starts; False where the store cannot be written to."""
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        path.parent.mkdir(exist_ok=True)
        table.tofile(partial)
        os.replace(partial, path)
    except OSError:
        partial.unlink(missing_ok=True)
        return False
    return True


def _refuse_empty(table: np.ndarray, split: str, settings: DataSettings) -> np.ndarray:
    if len(table) == 0:
        raise InputError(
            f"--max_seq_length={settings.max_seq_length} with "
            f"--pair_objective={settings.pair_objective}: the {split} split of "
            f"--dataset={settings.dataset} has no two neighbouring sentences of one document that "
            "fit; use a greater length, --pair_objective=none, or documents of several sentences"
        )
    return table
