"""Streams of pre-training batches; any batch is a pure function of (seed, step).

Position g = step * batch_size + row of the endless stream is position g mod n of epoch g div n;
`order` tells which example that is, and its pair and masks are drawn from (seed, epoch, example).
So starting at any step costs the same, and the rows of a batch may be made on any host.
"""

from typing import TYPE_CHECKING

import numpy as np

from pipelines import random_streams, schema
from pipelines.datasets import indexed_dataset
from pipelines.examples import collate, masking, sampler, sentence_pairs
from pipelines.settings import DataSettings
from pipelines.store.store import TokenStore

if TYPE_CHECKING:
    import tensorflow as tf

# The held-out examples are masked alike in every run, so that runs of other seeds compare.
EVALUATION_SEED = 0


def num_examples(store: TokenStore, settings: DataSettings, split: str) -> int:
    """Number of examples of an epoch at this sequence length and objective; see `order`.

    Raises:
        InputError: there are none.
    """
    return sampler.size(store, settings, split)


def batch_at(
    store: TokenStore,
    settings: DataSettings,
    seed: int,
    step: int,
    batch_size: int,
    rows: range | None = None,
) -> dict[str, np.ndarray]:
    """The training batch of a step, or some rows of it.

    Args:
        store: the tokens.
        settings: sequence length, objective, masking.
        seed: names the whole stream.
        step: number of the batch, from 0.
        batch_size: rows of the whole batch.
        rows: which rows of it; all by default.

    Returns:
        Arrays as in `schema.pretraining_batch`.
    """
    size = num_examples(store, settings, "train")
    position = step * batch_size + np.asarray(rows or range(batch_size))
    epoch, index = position // size, position % size
    keys = random_streams.fold(random_streams.stream_key(seed, "order"), epoch)
    batch, _ = _make(store, settings, "train", seed, epoch, keys, index)
    return batch | {"example_weights": np.ones(len(position), np.float32)}


def evaluation_batch_at(
    store: TokenStore,
    settings: DataSettings,
    number: int,
    batch_size: int,
    rows: range | None = None,
) -> dict[str, np.ndarray]:
    """A batch of the held-out examples, each of which comes once, in a fixed shuffled order.

    The order is shuffled so that the first batches are a fair sample of the split. Rows behind its
    end repeat an example with weight zero.
    """
    size = num_examples(store, settings, "validation")
    position = number * batch_size + np.asarray(rows or range(batch_size))
    real = position < size
    key, index = random_streams.stream_key(EVALUATION_SEED, "order"), np.minimum(position, size - 1)
    batch, again = _make(store, settings, "validation", EVALUATION_SEED, 0 * position, key, index)
    real &= ~again
    batch["mask_weights"] *= real[:, None]
    return batch | {"example_weights": real.astype(np.float32)}


def train_stream(
    store: TokenStore,
    settings: DataSettings,
    batch_size: int,
    seed: int,
    start_step: int = 0,
    host_index: int = 0,
    num_hosts: int = 1,
) -> "tf.data.Dataset":
    """The endless stream of training batches from a step on.

    Each host yields its consecutive rows of every global batch.

    Args:
        store: the tokens.
        settings: sequence length, objective, masking.
        batch_size: rows of the global batch.
        seed: names the stream.
        start_step: first batch.
        host_index: which host this is.
        num_hosts: hosts that share each batch.

    Raises:
        InputError: no example fits the sequence length, or hosts do not divide the batch.
    """
    num_examples(store, settings, "train")
    rows = indexed_dataset.host_rows(batch_size, host_index, num_hosts)

    def make(step: int) -> dict[str, np.ndarray]:
        return batch_at(store, settings, seed, step, batch_size, rows)

    specs = schema.pretraining_batch(settings, len(rows))
    return indexed_dataset.stream(make, range(start_step, 2**62), specs)


def evaluation_stream(
    store: TokenStore,
    settings: DataSettings,
    batch_size: int,
    num_batches: int | None = None,
    host_index: int = 0,
    num_hosts: int = 1,
) -> "tf.data.Dataset":
    """The held-out examples once, with fixed masks, or the first `num_batches` batches of them.

    Args and raises as in `train_stream`.
    """
    available = -(-num_examples(store, settings, "validation") // batch_size)
    rows = indexed_dataset.host_rows(batch_size, host_index, num_hosts)

    def make(number: int) -> dict[str, np.ndarray]:
        return evaluation_batch_at(store, settings, number, batch_size, rows)

    wanted = available if num_batches is None else min(num_batches, available)
    specs = schema.pretraining_batch(settings, len(rows))
    return indexed_dataset.stream(make, range(wanted), specs)


def _make(
    store: TokenStore,
    settings: DataSettings,
    split: str,
    seed: int,
    epoch: np.ndarray,
    keys: np.ndarray,
    index: np.ndarray,
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The rows at some positions, and bool [rows] whether their examples came before."""
    made, again = {}, np.zeros(len(index), bool)
    for part in sampler.parts(store, settings, split, keys, index):
        again[part.rows] = part.again
        for name, values in _rows(store, settings, split, seed, epoch[part.rows], part).items():
            whole = made.setdefault(name, np.empty((len(index), *values.shape[1:]), values.dtype))
            whole[part.rows] = values
    return made, again


def _rows(
    store: TokenStore,
    settings: DataSettings,
    split: str,
    seed: int,
    epoch: np.ndarray,
    part: sampler.Part,
) -> dict[str, np.ndarray]:
    shards, words, length = store.splits[split], store.vocabulary, settings.max_seq_length
    table, chosen = part.table, part.table[part.example]
    pair_keys = random_streams.fold(random_streams.stream_key(seed, "pairing"), epoch, part.name)
    mask_keys = random_streams.fold(random_streams.stream_key(seed, "masking"), epoch, part.name)
    labels = None
    if settings.pair_objective == "order":
        runs, labels = sentence_pairs.order_pairs(shards, chosen, pair_keys)
    elif settings.pair_objective == "next":
        runs, labels = sentence_pairs.next_pairs(shards, chosen, table, pair_keys, length - 3)
    elif settings.pack_documents:
        runs = sentence_pairs.packed_runs(shards, chosen)
    else:
        runs = sentence_pairs.single_runs(chosen)
    made = collate.assemble(shards, runs, len(chosen), length, words)
    batch = masking.mask(made.token_ids, made.lengths, mask_keys, words, settings)
    batch["segment_ids"] = made.run_ids if labels is not None else np.zeros_like(made.run_ids)
    batch["padding_mask"] = np.arange(length) < made.lengths[:, None]
    return batch if labels is None else batch | {"order_labels": labels}
