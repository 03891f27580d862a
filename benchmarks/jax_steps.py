"""Training steps and inferences on JAX, as calls that return when they are done.

With `KERAS_BACKEND=jax` the layers and models are the same; the trainer's step, which is of
TensorFlow, is replaced by the plain one here. Everything is compiled, whatever `jit` says.
"""

from collections.abc import Callable

import jax
import keras
import numpy as np
from keras import ops


def accelerator() -> str | None:
    """The name of the first device that is no CPU."""
    device = jax.devices()[0]
    return None if device.platform == "cpu" else device.device_kind


def compiled(function: Callable, jit: bool = True) -> Callable:
    """A function of arrays."""
    inner = jax.jit(function)
    return lambda *arguments: jax.block_until_ready(inner(*arguments))


def forward_and_back(layer: keras.layers.Layer, x, jit: bool) -> Callable:
    """A layer's outputs for x and all gradients of their product with random numbers."""
    cotangent = keras.random.normal(x.shape)
    layer.build(x.shape)

    def loss_of(x, weights, cotangent):
        mapping = zip(layer.trainable_variables, weights, strict=True)
        with keras.StatelessScope(state_mapping=list(mapping)):
            y = layer(x)
            return ops.sum(y * cotangent) + sum(layer.losses), y

    run = compiled(jax.grad(loss_of, argnums=(0, 1), has_aux=True))
    return lambda: run(x, [v.value for v in layer.trainable_variables], cotangent)


def training_of(task, optimizer, batch: dict, jit: bool, parts_at_once: int = 1) -> Callable:
    """One update of a task's loss on one batch."""
    if parts_at_once > 1:
        raise ValueError(f"parts_at_once={parts_at_once} is TensorFlow's alone; leave it out")
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

    def logits(trainable, fixed, inputs):
        outputs, _ = model.stateless_call(trainable, fixed, inputs, training=False)
        return logits_of(outputs)

    run = compiled(logits)
    return lambda: run(trainable, fixed, inputs)
