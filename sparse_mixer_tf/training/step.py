"""One optimizer step, the same on one device and on many.

The loss of a batch is a sum of contributions divided by counts taken over the *global* batch, so
that cutting it over replicas and micro-batches changes nothing. Gradients are summed over replicas
once, clipped by their global norm after that, and applied. Keras's own `fit` does none of these
three right under `tf.distribute`.
"""

import time
from typing import Protocol

import tensorflow as tf


class Objective(Protocol):
    """What a task gives the step. Tensors are this replica's, or this micro-batch's."""

    def normalizers(self, batch: dict) -> dict:
        """Counts to divide by, as sums over `batch`; the step adds them over replicas."""

    def contributions(self, batch: dict, normalizers: dict, share, key) -> tuple:
        """The loss and the metrics, each so that the sum over all parts is the global value.

        Args:
            normalizers: over the global batch.
            share: float, 1 / number of parts; what a part's *mean* contributes.
            key: uint32 [2], from which this part's dropout is derived.
        """


class TrainStep:
    """Callable `(batch, step) -> metrics` that applies one update.

    Args:
        objective: the task's loss.
        variables: the trainable keras variables.
        optimizer: a built keras optimizer.
        strategy: where the variables live.
        seed: decides dropout, together with step, replica and micro-batch.
        gradient_accumulation_steps: micro-batches that each replica's batch is cut into.
        max_gradient_norm: clip to this global norm, or None.
        jit_compile: compile with XLA; with one replica the optimizer's update is compiled too.
    """

    def __init__(
        self,
        objective: Objective,
        variables: list,
        optimizer,
        strategy: tf.distribute.Strategy,
        seed: int = 0,
        gradient_accumulation_steps: int = 1,
        max_gradient_norm: float | None = None,
        jit_compile: bool = False,
    ):
        self.objective, self.variables, self.optimizer = objective, variables, optimizer
        self.strategy, self.seed = strategy, seed
        self.parts, self.max_gradient_norm = gradient_accumulation_steps, max_gradient_norm
        alone = strategy.num_replicas_in_sync == 1
        # Collectives cannot be compiled here, so with several replicas only what lies between is.
        compiled = tf.function(self._gradients, jit_compile=jit_compile, autograph=False)
        self._compiled_gradients = self._gradients if alone else compiled
        update = tf.function(
            self._update, jit_compile=jit_compile if alone else None, autograph=False
        )
        self._step = tf.function(
            lambda batch, step: strategy.run(update, (batch, step)), autograph=False
        )
        # Gradients are left out of what is returned; the last number still needs them all.
        self._timed = tf.function(
            lambda batch: strategy.run(
                lambda part: compiled(*self._gradient_inputs(part, 0))[1:], (batch,)
            ),
            autograph=False,
        )

    def __call__(self, batch, step: int) -> dict:
        """Applies the update of `step`; returns global metrics as float32 tensors."""
        return self.strategy.experimental_local_results(self._step(batch, tf.constant(step)))[0]

    def measure(self, batch, repeats: int = 3) -> float:
        """Seconds of the fastest of a few gradient computations; updates nothing."""
        seconds = []
        for _ in range(repeats + 1):
            start = time.perf_counter()
            _, norm = self._timed(batch)
            self.strategy.experimental_local_results(norm)[0].numpy()
            seconds.append(time.perf_counter() - start)
        return min(seconds[1:])

    def _update(self, batch, step):
        context = tf.distribute.get_replica_context()
        replicas = self.strategy.num_replicas_in_sync
        gradients, metrics, _ = self._compiled_gradients(*self._gradient_inputs(batch, step))
        if replicas > 1:
            gradients, metrics = context.all_reduce("SUM", (gradients, metrics))
        norm = tf.linalg.global_norm(gradients)
        if self.max_gradient_norm is not None:
            gradients, _ = tf.clip_by_global_norm(gradients, self.max_gradient_norm, norm)
        metrics |= {
            "gradient_norm": norm,
            "learning_rate": tf.cast(self.optimizer.learning_rate, tf.float32),
        }
        # Keras sums gradients over replicas once more; they are summed already.
        self.optimizer.apply([g / replicas for g in gradients], self.variables)
        return metrics

    def _gradient_inputs(self, batch, step):
        context = tf.distribute.get_replica_context()
        replica = 0
        normalizers = self.objective.normalizers(batch)
        if self.strategy.num_replicas_in_sync > 1:
            normalizers = context.all_reduce("SUM", normalizers)
            replica = context.replica_id_in_sync_group
        return batch, normalizers, tf.cast(step, tf.uint32), tf.cast(replica, tf.uint32)

    def _gradients(self, batch, normalizers, step, replica):
        """Gradients and metrics of this replica's batch, and a number that depends on them all."""
        share = 1.0 / (self.parts * self.strategy.num_replicas_in_sync)

        def of_part(part_batch, part):
            stream = replica * tf.constant(self.parts, tf.uint32) + tf.cast(part, tf.uint32)
            # An odd constant, so that streams stay apart whatever the seed.
            word = tf.constant(self.seed % 2**32, tf.uint32) + stream * tf.constant(
                0x9E3779B9, tf.uint32
            )
            with tf.GradientTape() as tape:
                loss, metrics = self.objective.contributions(
                    part_batch, normalizers, share, tf.stack([word, step])
                )
            gradients = tape.gradient(loss, [v.value for v in self.variables])
            dense = [
                tf.zeros(v.shape, v.dtype) if g is None else tf.convert_to_tensor(g)
                for g, v in zip(gradients, self.variables, strict=True)
            ]
            return dense, {"loss": loss} | metrics

        if self.parts == 1:
            gradients, metrics = of_part(batch, 0)
        else:
            gradients, metrics = self._accumulate(of_part, batch)
        return gradients, metrics, tf.linalg.global_norm(gradients)

    def _accumulate(self, of_part, batch):
        """Adds up `of_part` over micro-batches in a loop that holds one of them at a time."""
        parts = {
            name: tf.reshape(x, [self.parts, x.shape[0] // self.parts, *x.shape[1:]])
            for name, x in batch.items()
        }

        def part_of(index):
            return {name: tf.gather(x, index) for name, x in parts.items()}

        of_part = tf.function(of_part, autograph=False)
        first = of_part(part_of(0), tf.constant(0))
        _, total = tf.while_loop(
            lambda index, _: index < self.parts,
            lambda index, total: (
                index + 1,
                tf.nest.map_structure(tf.add, total, of_part(part_of(index), index)),
            ),
            (tf.constant(1), first),
        )
        return total


class EvaluationStep:
    """Callable `batch -> sums`, added over replicas.

    Args:
        sums_of: the task's `batch -> dict of sums`, without dropout.
    """

    def __init__(self, sums_of, strategy: tf.distribute.Strategy, jit_compile: bool = False):
        self.strategy = strategy
        compiled = tf.function(sums_of, jit_compile=jit_compile, autograph=False)

        def reduced(batch):
            sums = strategy.run(compiled, (batch,))
            return tf.nest.map_structure(
                lambda x: strategy.reduce(tf.distribute.ReduceOp.SUM, x, axis=None), sums
            )

        self._run = tf.function(reduced, autograph=False)

    def __call__(self, batch) -> dict:
        return self._run(batch)
