"""Adding up what a model does on held-out data."""

from collections.abc import Callable, Iterable

import numpy as np
import tensorflow as tf

from sparse_mixer_tf.layers.tracing import varying_shapes
from sparse_mixer_tf.training.distributed.strategy import compiles_everything
from sparse_mixer_tf.training.microbatch import at_once
from sparse_mixer_tf.training.recurrent_state import carried_memory, with_memory


class EvaluationStep:
    """Callable `batch -> sums`, added over replicas.

    Args:
        sums_of: the task's `batch -> dict of sums`, without dropout; `(sums, memory)` if a memory
            is carried from batch to batch.
        initial_memory: see `carried_memory`.
        parts_at_once: parts of a replica's batch that are computed at once.

    Attributes:
        of_replica: the function `(batch, memory) -> (sums, memory)` of one replica.
    """

    def __init__(
        self,
        sums_of,
        strategy: tf.distribute.Strategy,
        jit_compile: bool = False,
        initial_memory: Callable | None = None,
        parts_at_once: int = 1,
    ):
        self.strategy, self._initial_memory = strategy, initial_memory
        self.begin()

        def of_part(batch, _):
            sums = sums_of(batch)
            return (sums, []) if "memory" not in batch else (sums[0], [sums[1]])

        of_batch = of_part if parts_at_once == 1 else at_once(of_part, parts_at_once)

        def of_replica(batch, memory):
            with varying_shapes(not (jit_compile or compiles_everything(strategy))):
                sums, memory = of_batch(with_memory(batch, memory), 0)
            return sums, memory[0] if memory else None

        self.of_replica = tf.function(of_replica, jit_compile=jit_compile, autograph=False)

        def reduced(*inputs):
            sums, memory = strategy.run(self.of_replica, inputs)
            sums = tf.nest.map_structure(
                lambda x: strategy.reduce(tf.distribute.ReduceOp.SUM, x, axis=None), sums
            )
            return sums, memory

        self._run = tf.function(reduced, autograph=False)

    def begin(self) -> None:
        """Begins an evaluation: the first batch meets a memory of zeros."""
        self._memory = None

    def __call__(self, batch) -> dict:
        if self._memory is None and self._initial_memory is not None:
            rows = self.strategy.experimental_local_results(tf.nest.flatten(batch)[0])[0].shape[0]
            size = rows * self.strategy.num_replicas_in_sync
            memory = carried_memory(self._initial_memory, size, self.strategy)
            self._memory = memory and memory.value
        sums, self._memory = self._run(batch, self._memory)
        return sums


def evaluation_sums(batches: Iterable, step: EvaluationStep) -> dict:
    """Sums over all batches, in float64, so that their number does not matter.

    Args:
        step: its sums are nested as the task likes.
    """
    step.begin()
    total = None
    for batch in batches:
        sums = tf.nest.map_structure(lambda x: np.asarray(x, "float64"), step(batch))
        total = sums if total is None else tf.nest.map_structure(np.add, total, sums)
    if total is None:
        raise ValueError("there is no held-out batch; lower --eval_batch_size")
    return total
