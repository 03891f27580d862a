"""Global batches cut along their rows, to the replicas of every process."""

import tensorflow as tf

from sparse_mixer_tf.training.cluster import Cluster


def distributed(stream: tf.data.Dataset, strategy: tf.distribute.Strategy, cluster: Cluster):
    """An iterable of batches for `strategy.run`.

    Replica r of n gets rows `[r * batch / n, (r + 1) * batch / n)` of every batch, however the
    replicas are spread over processes.

    Args:
        stream: of global batches, the same in every process.
    """
    if cluster.size == 1:
        return strategy.experimental_distribute_dataset(stream)
    here = strategy.num_replicas_in_sync // cluster.size
    return strategy.distribute_datasets_from_function(
        lambda _: replica_batches(stream, cluster, here)
    )


def replica_batches(
    stream: tf.data.Dataset, cluster: Cluster, replicas_here: int
) -> tf.data.Dataset:
    """The parts of this process, one element for each of its replicas, batch after batch."""

    def parts(batch: dict) -> tf.data.Dataset:
        def here(x):
            rows = x.shape[0] // (cluster.size * replicas_here)
            shape = [cluster.size, replicas_here, rows, *x.shape[1:]]
            return tf.reshape(x, shape)[cluster.index]

        return tf.data.Dataset.from_tensor_slices(tf.nest.map_structure(here, batch))

    return stream.flat_map(parts).prefetch(2)
