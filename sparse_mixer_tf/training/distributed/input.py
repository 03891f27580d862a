"""Batches cut along their rows, to the replicas of every process.

The next batch, fetched while a step computes.
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import tensorflow as tf

from sparse_mixer_tf.training.distributed.cluster import Cluster


def distributed(stream: tf.data.Dataset, strategy: tf.distribute.Strategy, cluster: Cluster):
    """An iterable of batches for `strategy.run`, to go through once.

    Replica r of n gets rows `[r * batch / n, (r + 1) * batch / n)` of every global batch, however
    the replicas are spread over processes.

    Args:
        stream: of the rows of this process, the consecutive ones of its index in `cluster`.
    """
    if cluster.size == 1:
        if has_remote_devices(strategy):
            return FromThisProcess(stream, strategy)
        return one_ahead(strategy.experimental_distribute_dataset(stream))
    # Not ahead: what processes do together, they all have to do in the same order.
    here = strategy.num_replicas_in_sync // cluster.size
    return strategy.distribute_datasets_from_function(lambda _: replica_batches(stream, here))


def has_remote_devices(strategy: tf.distribute.Strategy) -> bool:
    """Return whether this process drives remote devices, as on a TPU slice of several hosts."""
    return isinstance(strategy, tf.distribute.TPUStrategy) and any(
        "/job:localhost/" not in device for device in strategy.extended.worker_devices
    )


class FromThisProcess:
    """Batches that are made here and sent to devices elsewhere.

    `experimental_distribute_dataset` would run the stream beside the devices, where the Python that
    makes its batches is not.
    """

    def __init__(self, stream: tf.data.Dataset, strategy: tf.distribute.Strategy):
        self.stream, self.strategy = stream, strategy

    def __iter__(self):
        replicas = self.strategy.num_replicas_in_sync
        for batch in self.stream:
            parts = {name: tf.split(x, replicas) for name, x in batch.items()}
            yield {
                name: self.strategy.experimental_distribute_values_from_function(
                    lambda context, rows=rows: rows[context.replica_id_in_sync_group]
                )
                for name, rows in parts.items()
            }


def replica_batches(stream: tf.data.Dataset, replicas_here: int) -> tf.data.Dataset:
    """The rows of this process, one element for each of its replicas, batch after batch."""

    def parts(batch: dict) -> tf.data.Dataset:
        def cut(x):
            return tf.reshape(x, [replicas_here, x.shape[0] // replicas_here, *x.shape[1:]])

        return tf.data.Dataset.from_tensor_slices(tf.nest.map_structure(cut, batch))

    return stream.flat_map(parts).prefetch(2)


Item = TypeVar("Item")
_END = object()


def one_ahead(items: Iterable[Item]) -> Iterator[Item]:
    """The same items in their order, each fetched by a thread before it is asked for.

    The first is fetched from now on, each other from when the one before is handed out. Even a
    batch that is ready takes TensorFlow a millisecond of Python to hand over. What goes wrong with
    an item is raised where it would have come.
    """
    thread = ThreadPoolExecutor(1, thread_name_prefix="one_ahead")
    iterator = iter(items)
    return _handed_out(iterator, thread, thread.submit(next, iterator, _END))


def _handed_out(iterator: Iterator[Item], thread: ThreadPoolExecutor, coming: Future):
    with thread:
        while (item := coming.result()) is not _END:
            coming = thread.submit(next, iterator, _END)
            yield item
