"""Streams for causal language models: every row reads its own stretch of the text, block by block.

Row r of a batch goes on where row r of the batch before stopped, so that memory can be carried; a
batch is a pure function of (seed, step), and its rows may be made on any host.
"""

import functools
from typing import TYPE_CHECKING

import numpy as np

from pipelines import schema
from pipelines.datasets import indexed_dataset
from pipelines.errors import InputError
from pipelines.examples import lm_windows
from pipelines.examples.lm_windows import Walk
from pipelines.settings import DataSettings
from pipelines.store.lm_corpus import Corpus

if TYPE_CHECKING:
    import tensorflow as tf

_walk = functools.lru_cache(maxsize=8)(Walk)


def batch_at(
    corpus: Corpus,
    settings: DataSettings,
    seed: int,
    step: int,
    batch_size: int,
    rows: range | None = None,
) -> dict[str, np.ndarray]:
    """The training batch of a step, or some rows of it.

    Args:
        corpus: the text.
        settings: block size.
        seed: names the offsets of the passes.
        step: number of the batch, from 0.
        batch_size: rows of the whole batch.
        rows: which rows of it; all by default.

    Returns:
        Arrays as in `schema.causal_batch`.

    Raises:
        InputError: the text is too short for so many rows.
    """
    ids, block = corpus.splits["train"], settings.block_size
    length = _row_length(len(ids), batch_size, block)
    position, starts_anew = _walk(length, block, seed).at(step)
    first = np.asarray(rows or range(batch_size)) * length + position
    read = ids[first[:, None] + np.arange(block + 1)].astype(np.int32)
    return {
        "token_ids": read[:, :-1],
        "targets": read[:, 1:],
        "starts_anew": np.full(len(first), starts_anew),
    }


def evaluation_batch_at(
    corpus: Corpus,
    settings: DataSettings,
    split: str,
    number: int,
    batch_size: int,
    rows: range | None = None,
) -> dict[str, np.ndarray]:
    """A batch of the evaluation, or some rows of it; see `evaluation_stream`."""
    ids, block = corpus.splits[split], settings.block_size
    plan = _plan(len(ids) - 1, settings, batch_size)
    group, into = divmod(number, plan.num_blocks)
    window = group * batch_size + np.asarray(rows or range(batch_size))
    is_real, window = window < len(plan.end), np.minimum(window, len(plan.end) - 1)
    pair = plan.start[window, None] + into * block + np.arange(block)
    counts = (pair >= plan.counted[window, None]) & (pair < plan.end[window, None])
    pair = np.minimum(pair, len(ids) - 2)
    return {
        "token_ids": ids[pair].astype(np.int32),
        "targets": ids[pair + 1].astype(np.int32),
        "starts_anew": np.full(len(window), into == 0),
        "target_weights": (counts & is_real[:, None]).astype(np.float32),
    }


def num_evaluation_batches(
    corpus: Corpus, settings: DataSettings, split: str, batch_size: int
) -> int:
    """Number of batches in which a whole split is scored."""
    plan = _plan(len(corpus.splits[split]) - 1, settings, batch_size)
    return -(-len(plan.end) // batch_size) * plan.num_blocks


def train_stream(
    corpus: Corpus,
    settings: DataSettings,
    batch_size: int,
    seed: int,
    start_step: int = 0,
    host_index: int = 0,
    num_hosts: int = 1,
) -> "tf.data.Dataset":
    """The endless stream of training batches from a step on.

    The training text is cut into `batch_size` stretches of equal length, one a row, and the tail
    is left out. All rows walk theirs together, see `contiguous`. Each host yields its consecutive
    rows of every global batch.

    Args:
        corpus: the text.
        settings: block size.
        batch_size: rows of the global batch.
        seed: names the stream.
        start_step: first batch.
        host_index: which host this is.
        num_hosts: hosts that share each batch.

    Raises:
        InputError: the text is too short for so many rows, or hosts do not divide the batch.
    """
    _row_length(len(corpus.splits["train"]), batch_size, settings.block_size)
    rows = indexed_dataset.host_rows(batch_size, host_index, num_hosts)

    def make(step: int) -> dict[str, np.ndarray]:
        return batch_at(corpus, settings, seed, step, batch_size, rows)

    specs = schema.causal_batch(settings, len(rows))
    return indexed_dataset.stream(make, range(start_step, 2**62), specs)


def evaluation_stream(
    corpus: Corpus,
    settings: DataSettings,
    split: str,
    batch_size: int,
    num_batches: int | None = None,
    host_index: int = 0,
    num_hosts: int = 1,
) -> "tf.data.Dataset":
    """A whole split from empty memory; each symbol but its first is a counted target once.

    Without `eval_stride` each row reads one of `batch_size` stretches of the split, and memory is
    empty at the beginning of each. With it the split is read in windows that do not depend on the
    batch size: each counts `eval_stride` targets and begins early enough for every one of them to
    stand behind `eval_context` symbols, `block_size` of them by default.

    Args:
        corpus: the text.
        settings: block size, stride, context.
        split: "train", "validation" or "test".
        batch_size: rows of the global batch.
        num_batches: stop after so many batches, with `eval_stride` at the end of a window.
        host_index: which host this is.
        num_hosts: hosts that share each batch.

    Raises:
        InputError: the hosts do not divide the batch.
    """
    available = num_evaluation_batches(corpus, settings, split, batch_size)
    rows = indexed_dataset.host_rows(batch_size, host_index, num_hosts)
    wanted = available if num_batches is None else min(num_batches, available)
    if settings.eval_stride:
        num_blocks = _plan(len(corpus.splits[split]) - 1, settings, batch_size).num_blocks
        wanted = -(-wanted // num_blocks) * num_blocks

    def make(number: int) -> dict[str, np.ndarray]:
        return evaluation_batch_at(corpus, settings, split, number, batch_size, rows)

    specs = schema.causal_batch(settings, len(rows), evaluation=True)
    return indexed_dataset.stream(make, range(wanted), specs)


def _plan(num_pairs: int, settings: DataSettings, batch_size: int) -> lm_windows.Windows:
    stride, context, block = settings.eval_stride, settings.eval_context, settings.block_size
    if stride is None:
        return _rows(num_pairs, batch_size, block)
    return _strided(num_pairs, stride, block if context is None else context, block)


_rows = functools.lru_cache(maxsize=8)(lm_windows.rows)
_strided = functools.lru_cache(maxsize=8)(lm_windows.strided)


def _row_length(symbols: int, batch_size: int, block: int) -> int:
    length = symbols // batch_size
    if length <= block:
        most = symbols // (block + 1)
        rows = f"use --train_batch_size={most} or less, or " if most else "use "
        raise InputError(
            f"--train_batch_size={batch_size} leaves {length} of {symbols:,} symbols a row, one "
            f"more than --block_size={block} is the least; {rows}--block_size="
            f"{max(1, length - 1)} or less"
        )
    return length
