"""Training steps and inferences on JAX, as calls that return when they are done.

With `KERAS_BACKEND=jax` the layers and models are the same; the trainer's step, which is of
TensorFlow, is replaced by the plain one here. Everything is compiled, whatever `jit`
and `way` say.
"""

import os
from collections.abc import Callable

import jax
import keras
import numpy as np
from keras import ops

from sparse_mixer_tf.training.losses import cross_entropy_sums

# A GPU's memory is taken as it is needed: while one process compares, another takes the rate of a
# product, and the peers on PyTorch have to fit in beside.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")


def accelerator() -> str | None:
    """The name of the first device that is no CPU."""
    device = jax.devices()[0]
    return None if device.platform == "cpu" else device.device_kind


def compiler(way: str) -> str:
    """Return the name of the compiler."""
    return "XLA"


def compiled(function: Callable, jit: bool = True) -> Callable:
    """A function of arrays."""
    inner = jax.jit(function)
    return lambda *arguments: jax.block_until_ready(inner(*arguments))


def forward_and_back(layer: keras.layers.Layer, x, jit: bool) -> Callable:
    """A layer's outputs for x and all gradients of their product with random numbers."""
    cotangent = ops.cast(keras.random.normal(x.shape), x.dtype)
    layer.build(x.shape)

    def loss_of(x, weights, cotangent):
        mapping = zip(layer.trainable_variables, weights, strict=True)
        with keras.StatelessScope(list(mapping), collect_losses=True):
            y = layer(x)
            return ops.sum(y * cotangent) + sum(layer.losses), y

    run = compiled(jax.grad(loss_of, argnums=(0, 1), has_aux=True))
    return lambda: run(x, [v.value for v in layer.trainable_variables], cotangent)


def training_of(task, optimizer, batch: dict, way: str, parts_at_once: int = 1) -> Callable:
    """One update of a task's loss on one batch."""
    if parts_at_once > 1:
        raise ValueError(f"parts_at_once={parts_at_once} is TensorFlow's alone; leave it out")
    model = task.model
    batch = {name: jax.numpy.asarray(array) for name, array in batch.items()}

    def loss_of(trainable, fixed, key):
        with keras.StatelessScope(_values(model, trainable, fixed), collect_losses=True):
            loss, _ = task.contributions(batch, task.normalizers(batch), 1.0, key)
        return loss, fixed

    return _updates(model, optimizer, loss_of)


def training_of_model(model: keras.Model, optimizer, inputs: dict, labels, way: str) -> Callable:
    """A plain step of a model whose output are logits at the masked positions."""
    optimizer.build(model.trainable_variables)
    inputs = {name: jax.numpy.asarray(array) for name, array in inputs.items()}
    labels = jax.numpy.asarray(labels)

    def loss_of(trainable, fixed, key):
        # Its dropout draws from what is no weight, so that is different after every step.
        logits, fixed = model.stateless_call(trainable, fixed, inputs, training=True)
        sums = cross_entropy_sums(logits, labels, ops.ones_like(labels))
        return sums.loss / sums.count, fixed

    return _updates(model, optimizer, loss_of)


def _values(model: keras.Model, trainable, fixed) -> list[tuple]:
    return [
        *zip(model.trainable_variables, trainable, strict=True),
        *zip(model.non_trainable_variables, fixed, strict=True),
    ]


def _updates(model: keras.Model, optimizer, loss_of: Callable) -> Callable:
    """Steps one after another, each in the memory of the one before."""

    def step(state, key):
        trainable, fixed, slots = state
        (loss, fixed), gradients = jax.value_and_grad(loss_of, has_aux=True)(trainable, fixed, key)
        trainable, slots = optimizer.stateless_apply(slots, gradients, trainable)
        return loss, (trainable, fixed, slots)

    compiled_step = jax.jit(step, donate_argnums=0)
    # Copies, since the model keeps its own.
    state = jax.tree.map(
        jax.numpy.copy,
        tuple(
            [variable.value for variable in variables]
            for variables in (
                model.trainable_variables,
                model.non_trainable_variables,
                optimizer.variables,
            )
        ),
    )
    numbers = iter(range(2**31))

    def run():
        nonlocal state
        loss, state = compiled_step(state, np.array([0, next(numbers)], "uint32"))
        return jax.block_until_ready((loss, state))

    return run


def inference_of(model: keras.Model, inputs: dict, way: str, logits_of: Callable) -> Callable:
    """The logits of a model."""
    trainable = [v.value for v in model.trainable_variables]
    fixed = [v.value for v in model.non_trainable_variables]
    inputs = {name: jax.numpy.asarray(array) for name, array in inputs.items()}

    def logits(trainable, fixed, inputs):
        outputs, _ = model.stateless_call(trainable, fixed, inputs, training=False)
        return logits_of(outputs)

    run = compiled(logits)
    return lambda: run(trainable, fixed, inputs)
