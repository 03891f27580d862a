"""Training steps and inferences on TensorFlow, as calls that return when they are done."""

from collections.abc import Callable

import keras
import tensorflow as tf
from keras import ops

from sparse_mixer_tf.losses import cross_entropy_sums
from sparse_mixer_tf.training.step import TrainStep


def training_of(task, optimizer, batch: dict, jit: bool) -> Callable:
    """The trainer's own step on one batch."""
    step = TrainStep(
        task, task.model.trainable_variables, optimizer, tf.distribute.get_strategy(),
        jit_compile=jit,
    )  # fmt: skip
    batch = {name: tf.constant(array) for name, array in batch.items()}
    numbers = iter(range(10**9))
    return lambda: step(batch, next(numbers))["loss"].numpy()


def training_of_model(model: keras.Model, optimizer, inputs: dict, labels, jit: bool) -> Callable:
    """A plain step of a model whose output are logits at the masked positions."""
    optimizer.build(model.trainable_variables)
    inputs = {name: tf.constant(array) for name, array in inputs.items()}
    labels = tf.constant(labels)

    def step():
        with tf.GradientTape() as tape:
            sums = cross_entropy_sums(model(inputs, training=True), labels, ops.ones_like(labels))
            loss = sums.loss / sums.count
        weights = [variable.value for variable in model.trainable_variables]
        optimizer.apply(tape.gradient(loss, weights), model.trainable_variables)
        return loss

    compiled = tf.function(step, jit_compile=jit, autograph=False)
    return lambda: compiled().numpy()


def inference_of(model: keras.Model, inputs: dict, jit: bool, logits_of: Callable) -> Callable:
    """The logits of a model."""
    inputs = {name: tf.constant(array) for name, array in inputs.items()}
    compiled = tf.function(
        lambda batch: logits_of(model(batch, training=False)), jit_compile=jit, autograph=False
    )
    # One number is read, so that nothing large is copied.
    return lambda: compiled(inputs)[0, 0, 0].numpy()
