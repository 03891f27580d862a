"""Outputs and gradients of every layer on whatever backend Keras has.

python -m tests.layers.numbers_of_layers FILE.npz
"""

import sys
from collections.abc import Callable

import numpy as np
from keras import ops

from sparse_mixer_tf.layers import random_key
from tests.layers.backend import compiled, gradients
from tests.layers.catalogue import LAYERS, Specimen, build

KEY = np.array([7, 11], np.uint32)


def training_step(layer, specimen: Specimen) -> Callable:
    """A training step of a layer with dropout on.

    Returns:
        A function of the specimen's inputs; it returns the output and the gradients for the inputs
        of floats and for the weights.
    """
    is_float = [np.issubdtype(array.dtype, np.floating) for array in specimen.inputs]

    def step(*inputs):
        def loss(*differentiated):
            given = iter(differentiated)
            arguments = [
                next(given) if floating else array
                for floating, array in zip(is_float, inputs, strict=True)
            ]
            with random_key(KEY):
                y = layer(*arguments, **specimen.options, training=True)
            return ops.sum(ops.cast(y, "float32") ** 2) + sum(layer.losses), y

        floats = [array for array, floating in zip(inputs, is_float, strict=True) if floating]
        y, found = gradients(loss, floats, layer.trainable_variables)
        return [y, *found]

    return step


def numbers() -> dict[str, np.ndarray]:
    """Arrays by the name of the layer and of the quantity."""
    results = {}
    for name, specimen in LAYERS.items():
        step = compiled(training_step(build(specimen), specimen), xla=False)
        y, *found = step(*specimen.inputs)
        results[f"{name}/y"] = np.asarray(y)
        for index, gradient in enumerate(found):
            results[f"{name}/gradient_{index}"] = np.asarray(gradient)
    return results


if __name__ == "__main__":
    np.savez(sys.argv[1], **numbers())
