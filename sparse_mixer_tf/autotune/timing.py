"""Choice of the fastest of several implementations by timing them on this device.

How long a call takes that is compiled when it is first made.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

# Rows of a layer's input that are enough to keep a device busy.
TOKENS = 4096


def fastest(
    ways: Sequence, measure: Callable[[Any], float], total: Callable = float
) -> tuple[Any, list[float]]:
    """The way that takes the least time, the first of equals, and the milliseconds of each.

    Args:
        ways: what to choose from.
        measure: way to seconds.
        total: adds up a number over all workers, so that all choose alike.
    """
    milliseconds = [1e3 * total(measure(way)) for way in ways]
    return ways[milliseconds.index(min(milliseconds))], milliseconds


def seconds_of(layer: keras.layers.Layer, shape: tuple[int, ...], repeats: int = 3) -> float:
    """Of the fastest of some forward and backward passes, without XLA.

    Args:
        layer: built here; named, so that the layers of the model to come are numbered as ever.
        shape: of its input.
    """
    layer.build(shape)
    x = tf.cast(tf.random.stateless_normal(shape, seed=(0, 0)), layer.compute_dtype)

    @tf.function
    def forward_and_back(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(tf.cast(layer(x, training=True), "float32"))
        gradients = tape.gradient(loss, [x, *layer.trainable_variables])
        return tf.add_n([tf.reduce_sum(tf.cast(gradient, "float32")) for gradient in gradients])

    return min(seconds(lambda: forward_and_back(x).numpy(), repeats))


def seconds(call: Callable, repeats: int) -> list[float]:
    """Of `repeats` calls behind a first one; a call returns when its work is done."""
    taken = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return taken[1:]
