"""Gradients of one replica's batch: whole, micro-batch by micro-batch, or parts of it at once."""

from typing import Protocol

import tensorflow as tf

from sparse_mixer_tf.layers.tracing import varying_shapes
from sparse_mixer_tf.training import parts


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
        at_once: parts of a micro-batch that do not wait for one another.
        seed: decides dropout, together with step, replica and part.
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
        at_once: int,
        seed: int,
        static_shapes: bool = True,
        unrolled: bool = False,
    ):
        self.objective, self.variables = objective, variables
        self.replicas, self.seed = replicas, seed
        self.parts, self.at_once = parts, at_once
        self.static_shapes, self.unrolled = static_shapes, unrolled

    def __call__(self, batch: dict, normalizers: dict, step, replica) -> tuple:
        all_parts = self.parts * self.at_once
        share = 1.0 / (all_parts * self.replicas)

        def of_part(part_batch, part):
            stream = replica * tf.constant(all_parts, tf.uint32) + tf.cast(part, tf.uint32)
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

        of_batch = of_part
        if self.at_once > 1:
            of_batch = parts.at_once(of_batch, self.at_once)
        if self.parts > 1:
            in_turn = parts.one_by_one if self.unrolled else parts.in_a_loop
            of_batch = in_turn(of_batch, self.parts)
        with varying_shapes(not self.static_shapes):
            (gradients, metrics), memory = of_batch(batch, 0)
        return gradients, metrics, memory[0] if memory else None, tf.linalg.global_norm(gradients)
