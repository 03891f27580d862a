"""Gradients and compilation on whatever backend Keras has, so that tests of layers hold on each.

A test of what TensorFlow alone does, as graphs of unknown shape, is marked `tensorflow`.
"""

from collections.abc import Callable, Sequence

import keras

ON_JAX = keras.backend.backend() == "jax"


def gradients(loss: Callable, arrays: Sequence = (), variables: Sequence = ()) -> tuple:
    """Differentiates a loss.

    Args:
        loss: function of the arrays; returns the loss and anything else.
        arrays: what it is differentiated for, first.
        variables: what it is differentiated for, then.

    Returns:
        What else the function returned, and the gradients; zeros where nothing depends on it.
    """
    values = [variable.value for variable in variables]
    if ON_JAX:
        import jax

        def of(arrays, values):
            mapping = list(zip(variables, values, strict=True))
            with keras.StatelessScope(mapping, collect_losses=True):
                return loss(*arrays)

        arrays = [keras.ops.convert_to_tensor(array) for array in arrays]
        # Compiled: one by one, every operation would be.
        differentiate = jax.jit(jax.grad(of, (0, 1), has_aux=True))
        (for_arrays, for_values), other = differentiate(arrays, values)
        return other, [*for_arrays, *for_values]
    import tensorflow as tf

    arrays = [tf.convert_to_tensor(array) for array in arrays]
    with tf.GradientTape() as tape:
        tape.watch(arrays)
        number, other = loss(*arrays)
    return other, tape.gradient(
        number, [*arrays, *values], unconnected_gradients=tf.UnconnectedGradients.ZERO
    )


def compiled(function: Callable, xla: bool = True) -> Callable:
    """A function of arrays; where JAX compiles it, always by XLA."""
    if ON_JAX:
        import jax

        return jax.jit(function)
    import tensorflow as tf

    return tf.function(function, jit_compile=xla, autograph=False)
