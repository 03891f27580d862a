"""The state that a model carries from one batch to the next, for each row of the batch."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf


class CarriedMemory:
    """The memory `[batch, ...]` of a global batch, cut along its rows over the replicas.

    It has the `path`, `shape`, `numpy` and `assign` of a variable, so that a checkpoint holds it as
    one array and another number of replicas can take it up.

    Attributes:
        value: a tensor, or one per replica.
    """

    path = "carried"

    def __init__(self, zeros, strategy: tf.distribute.Strategy):
        """
        Args:
            zeros: of the global batch, `[batch, ...]`; gives shape and dtype.
        """
        self.strategy = strategy
        self.shape, self.dtype = tuple(zeros.shape), tf.as_dtype(zeros.dtype)
        self.assign(np.zeros(self.shape, self.dtype.as_numpy_dtype))

    def numpy(self) -> np.ndarray:
        """The rows of all replicas, in the order of the global batch."""
        parts = self.strategy.experimental_local_results(self.value)
        if len(parts) < self.strategy.num_replicas_in_sync:
            return self.strategy.gather(self.value, axis=0).numpy()
        return np.concatenate([part.numpy() for part in parts])

    def assign(self, array) -> None:
        """Gives each replica its rows of `array [batch, ...]`."""
        parts = np.split(np.asarray(array), self.strategy.num_replicas_in_sync)
        self.value = self.strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(parts[context.replica_id_in_sync_group], self.dtype)
        )


def carried_memory(
    initial_memory: Callable | None, batch_size: int, strategy: tf.distribute.Strategy
) -> CarriedMemory | None:
    """The memory that a task begins with, or None where it carries nothing.

    Args:
        initial_memory: `batch_size -> zeros [batch_size, ...]` or None.
    """
    zeros = initial_memory(batch_size) if initial_memory else None
    return None if zeros is None else CarriedMemory(zeros, strategy)


def with_memory(batch: dict, memory) -> dict:
    """The batch with `memory` in it, zero in the rows whose text `starts_anew`.

    Args:
        batch: may hold `starts_anew`, bool `[batch]`.
        memory: `[batch, ...]`, or None, which changes nothing.
    """
    if memory is None:
        return batch
    if "starts_anew" in batch:
        starts = batch["starts_anew"]
        rows = tf.reshape(starts, [-1] + [1] * (memory.shape.rank - 1))
        # Where none does, which is almost always, megabytes need not be gone through.
        memory = tf.cond(
            tf.reduce_any(starts),
            lambda: tf.where(rows, tf.zeros_like(memory), memory),
            lambda: memory,
        )
    return batch | {"memory": memory}
