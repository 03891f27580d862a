"""Training steps, inferences and plain calls of the backend that Keras runs on."""

import keras

if keras.backend.backend() == "jax":
    from benchmarks.jax_steps import (
        accelerator,
        compiled,
        forward_and_back,
        inference_of,
        training_of,
        training_of_model,
    )
else:
    from benchmarks.tensorflow_steps import (
        accelerator,
        compiled,
        forward_and_back,
        inference_of,
        training_of,
        training_of_model,
    )


def compiler(jit: bool) -> str:
    """What compiles: `XLA`, as on JAX always, or TensorFlow's `graph`."""
    return compiler_of("true" if jit else "false")


def compiler_of(way: str) -> str:
    """The same for what the trainer's `--jit_compile` has."""
    if keras.backend.backend() == "jax":
        return "XLA"
    return {"false": "graph", "elementwise": "elementwise by XLA", "true": "XLA"}[way]


__all__ = [
    "accelerator",
    "compiled",
    "compiler",
    "compiler_of",
    "forward_and_back",
    "inference_of",
    "training_of",
    "training_of_model",
]
