"""Training steps and inferences on JAX, as calls that return when they are done.

With `KERAS_BACKEND=jax` the layers and models are the same; the trainer's step, which is of
TensorFlow, is replaced by the plain one here. Everything is compiled, whatever `jit` says.
"""

from collections.abc import Callable

import jax
import keras
import numpy as np


def training_of(task, optimizer, batch: dict, jit: bool) -> Callable:
    """One update of a task's loss on one batch."""
    model = task.model
    batch = {name: jax.numpy.asarray(array) for name, array in batch.items()}

    def loss_of(trainable, fixed, key):
        mapping = [
            *zip(model.trainable_variables, trainable, strict=True),
            *zip(model.non_trainable_variables, fixed, strict=True),
        ]
        with keras.StatelessScope(state_mapping=mapping):
            loss, _ = task.contributions(batch, task.normalizers(batch), 1.0, key)
        return loss

    @jax.jit
    def step(trainable, fixed, slots, key):
        loss, gradients = jax.value_and_grad(loss_of)(trainable, fixed, key)
        trainable, slots = optimizer.stateless_apply(slots, gradients, trainable)
        return loss, trainable, slots

    state = {
        "trainable": [v.value for v in model.trainable_variables],
        "slots": [v.value for v in optimizer.variables],
    }
    fixed = [v.value for v in model.non_trainable_variables]
    numbers = iter(range(2**31))

    def run():
        key = np.array([0, next(numbers)], "uint32")
        loss, state["trainable"], state["slots"] = step(
            state["trainable"], fixed, state["slots"], key
        )
        return jax.block_until_ready((loss, state))

    return run


def inference_of(model: keras.Model, inputs: dict, jit: bool, logits_of: Callable) -> Callable:
    """The logits of a model."""
    trainable = [v.value for v in model.trainable_variables]
    fixed = [v.value for v in model.non_trainable_variables]
    inputs = {name: jax.numpy.asarray(array) for name, array in inputs.items()}

    @jax.jit
    def run(trainable, fixed, inputs):
        outputs, _ = model.stateless_call(trainable, fixed, inputs, training=False)
        return logits_of(outputs)

    return lambda: jax.block_until_ready(run(trainable, fixed, inputs))
