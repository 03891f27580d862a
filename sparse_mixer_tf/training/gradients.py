"""Gradients of one replica's batch, computed whole or micro-batch by micro-batch."""

from typing import Protocol

import tensorflow as tf

from sparse_mixer_tf.layers.varying_shapes import varying_shapes


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

        Returns:
            `(loss, metrics)`; with `batch["memory"]`, `(loss, metrics, memory)`, the last being
            what the next batch's rows find there, without gradient.
        """


class Gradients:
    """Callable `(batch, normalizers, step, replica) -> (gradients, metrics, memory, size)`.

    `size` is a number that needs every gradient, for whoever only wants them computed.

    Args:
        objective: the task's loss.
        variables: the trainable keras variables.
        replicas: over which the caller adds up what is returned.
        parts: micro-batches that the batch is cut into.
        seed: decides dropout, together with step, replica and micro-batch.
        static_shapes: whether a compiler wants to know every shape beforehand.
        unrolled: write micro-batches out instead of looping over them. Collectives in loops of
            several replicas wait for one another forever.
    """

    def __init__(
        self,
        objective: Objective,
        variables: list,
        replicas: int,
        parts: int,
        seed: int,
        static_shapes: bool = True,
        unrolled: bool = False,
    ):
        self.objective, self.variables = objective, variables
        self.replicas, self.parts, self.seed = replicas, parts, seed
        self.static_shapes = static_shapes
        self._add_up = self._one_by_one if unrolled else self._accumulated

    def __call__(self, batch: dict, normalizers: dict, step, replica) -> tuple:
        share = 1.0 / (self.parts * self.replicas)

        def of_part(part_batch, part):
            stream = replica * tf.constant(self.parts, tf.uint32) + tf.cast(part, tf.uint32)
            # An odd constant, so that streams stay apart whatever the seed.
            word = tf.constant(self.seed % 2**32, tf.uint32) + stream * tf.constant(
                0x9E3779B9, tf.uint32
            )
            with tf.GradientTape() as tape:
                loss, metrics, *memory = self.objective.contributions(
                    part_batch, normalizers, share, tf.stack([word, step])
                )
            gradients = tape.gradient(loss, [v.value for v in self.variables])
            dense = [
                tf.zeros(v.shape, v.dtype) if g is None else tf.convert_to_tensor(g)
                for g, v in zip(gradients, self.variables, strict=True)
            ]
            return (dense, {"loss": loss} | metrics), memory

        of_batch = of_part if self.parts == 1 else self._add_up(of_part)
        with varying_shapes(not self.static_shapes):
            (gradients, metrics), memory = of_batch(batch, 0)
        return gradients, metrics, memory[0] if memory else None, tf.linalg.global_norm(gradients)

    def _accumulated(self, of_part):
        """`of_part` over a whole batch: micro-batches in a loop that holds one at a time."""
        of_part = tf.function(of_part, autograph=False)

        def of_batch(batch, _):
            parts = self._cut(batch)

            def added(index, total, memory):
                rows = {name: tf.gather(x, index) for name, x in parts.items()}
                sums, new = of_part(rows, index)
                if total is not None:
                    sums = tf.nest.map_structure(tf.add, total, sums)
                memory = [
                    tf.tensor_scatter_nd_update(whole, [[index]], part[None])
                    for whole, part in zip(memory, new, strict=True)
                ]
                return index + 1, sums, memory

            carried = [parts["memory"]] if "memory" in parts else []
            _, total, memory = tf.while_loop(
                lambda index, *_: index < self.parts, added, added(tf.constant(0), None, carried)
            )
            return total, [tf.reshape(whole, batch["memory"].shape) for whole in memory]

        return of_batch

    def _one_by_one(self, of_part):
        """The same without a loop; each micro-batch waits for the one before."""

        def of_batch(batch, _):
            parts, total, memory = self._cut(batch), None, []
            for index in range(self.parts):
                waits = [] if total is None else tf.nest.flatten(total)
                with tf.control_dependencies(waits):
                    rows = {name: tf.identity(x[index]) for name, x in parts.items()}
                sums, new = of_part(rows, index)
                total = sums if total is None else tf.nest.map_structure(tf.add, total, sums)
                memory.append(new)
            carried = [tf.concat(rows, axis=0) for rows in zip(*memory, strict=True)]
            return total, carried

        return of_batch

    def _cut(self, batch: dict) -> dict:
        return {
            name: tf.reshape(x, [self.parts, x.shape[0] // self.parts, *x.shape[1:]])
            for name, x in batch.items()
        }
