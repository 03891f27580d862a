"""Batches cut along their rows, to the replicas of every process."""

import tensorflow as tf

from sparse_mixer_tf.training.cluster import Cluster


def distributed(stream: tf.data.Dataset, strategy: tf.distribute.Strategy, cluster: Cluster):
    """An iterable of batches for `strategy.run`.

    Replica r of n gets rows `[r * batch / n, (r + 1) * batch / n)` of every global batch, however
    the replicas are spread over processes.

    Args:
        stream: of the rows of this process, the consecutive ones of its index in `cluster`.
    """
    if cluster.size == 1:
        return strategy.experimental_distribute_dataset(stream)
    here = strategy.num_replicas_in_sync // cluster.size
    return strategy.distribute_datasets_from_function(lambda _: replica_batches(stream, here))


def replica_batches(stream: tf.data.Dataset, replicas_here: int) -> tf.data.Dataset:
    """The rows of this process, one element for each of its replicas, batch after batch."""

    def parts(batch: dict) -> tf.data.Dataset:
        def cut(x):
            return tf.reshape(x, [replicas_here, x.shape[0] // replicas_here, *x.shape[1:]])

        return tf.data.Dataset.from_tensor_slices(tf.nest.map_structure(cut, batch))

    return stream.flat_map(parts).prefetch(2)
