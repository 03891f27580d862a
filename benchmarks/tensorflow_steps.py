"""Training steps and inferences on TensorFlow, as calls that return when they are done.

`way` is how they are compiled, as the trainer's `--jit_compile` has it.
"""

from collections.abc import Callable

import keras
import tensorflow as tf
from keras import ops

from sparse_mixer_tf.autotune.xla import ALL, ELEMENTWISE, NAMES
from sparse_mixer_tf.autotune.xla import compiled as compiled_as
from sparse_mixer_tf.layers.tracing import varying_shapes
from sparse_mixer_tf.training.losses import cross_entropy_sums
from sparse_mixer_tf.training.train_step import TrainStep

# It takes the functions of several layers for one that is traced again and again, and warns.
tf.get_logger().setLevel("ERROR")


def accelerator() -> str | None:
    """The name of the first GPU."""
    for device in tf.config.list_physical_devices("GPU"):
        return tf.config.experimental.get_device_details(device).get("device_name", device.name)
    return None


def compiler(way: str) -> str:
    """Return the name of the compiler."""
    return NAMES[way]


def compiled(function: Callable, jit: bool = False) -> Callable:
    """A function of tensors; what it returns is one number of its first result."""
    inner = tf.function(function, jit_compile=jit, reduce_retracing=True, autograph=False)

    def run(*arguments):
        # One number is read, so that nothing large is copied.
        return tf.reshape(tf.nest.flatten(inner(*arguments))[0], [-1])[0].numpy()

    return run


def forward_and_back(layer: keras.layers.Layer, x, jit: bool) -> Callable:
    """A layer's outputs for x and all gradients of their product with random numbers."""
    cotangent = tf.random.normal(x.shape, dtype=x.dtype)

    def step(x, cotangent):
        # As the trainer does.
        with varying_shapes(not jit), tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
            loss = tf.reduce_sum(tf.cast(y * cotangent, "float32")) + sum(layer.losses)
        # The output is returned, or the compiler would leave the last matmul out where it can.
        return tape.gradient(loss, [x, *(v.value for v in layer.trainable_variables)]), y

    run = compiled(step, jit)
    return lambda: run(x, cotangent)


def training_of(task, optimizer, batch: dict, way: str, parts_at_once: int = 1) -> Callable:
    """The trainer's own step on one batch."""
    step = TrainStep(
        task, task.model.trainable_variables, optimizer, tf.distribute.get_strategy(),
        parts_at_once=parts_at_once, jit_compile=way == ALL, static_shapes=way == ELEMENTWISE,
    )  # fmt: skip
    batch = {name: tf.constant(array) for name, array in batch.items()}
    numbers = iter(range(10**9))
    return compiled_as(way, lambda: step(batch, next(numbers))["loss"].numpy())


def training_of_model(model: keras.Model, optimizer, inputs: dict, labels, way: str) -> Callable:
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

    compiled = tf.function(step, jit_compile=way == ALL, autograph=False)
    return compiled_as(way, lambda: compiled().numpy())


def inference_of(model: keras.Model, inputs: dict, way: str, logits_of: Callable) -> Callable:
    """The logits of a model."""
    inputs = {name: tf.constant(array) for name, array in inputs.items()}
    run = compiled(lambda batch: logits_of(model(batch, training=False)), way == ALL)
    return compiled_as(way, lambda: run(inputs))
