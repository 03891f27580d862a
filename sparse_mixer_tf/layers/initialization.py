"""Initial values that every layer of a Sparse Mixer shares."""

import keras

KERNEL_STDDEV = 0.02
LAYER_NORM_EPSILON = 1e-12


def kernel_initializer() -> keras.initializers.Initializer:
    """A new plain (not truncated) normal initializer of standard deviation 0.02.

    A new one for each weight, because a Keras initializer returns the same values for each call.
    """
    return keras.initializers.RandomNormal(stddev=KERNEL_STDDEV)


def layer_norm(name: str, dtype) -> keras.layers.LayerNormalization:
    """LayerNorm over the last axis; Keras takes its statistics in float32 whatever the dtype."""
    return keras.layers.LayerNormalization(epsilon=LAYER_NORM_EPSILON, name=name, dtype=dtype)


def dense(units: int, name: str, dtype) -> keras.layers.Dense:
    """A dense projection with the shared kernel initializer and a bias that starts at zero."""
    return keras.layers.Dense(
        units, kernel_initializer=kernel_initializer(), name=name, dtype=dtype
    )
