"""Training steps, inferences and plain calls of the backend that Keras runs on."""

import keras

if keras.backend.backend() == "jax":
    from benchmarks.jax_steps import (
        accelerator,
        compiled,
        compiler,
        forward_and_back,
        inference_of,
        training_of,
        training_of_model,
    )
else:
    from benchmarks.tensorflow_steps import (
        accelerator,
        compiled,
        compiler,
        forward_and_back,
        inference_of,
        training_of,
        training_of_model,
    )


__all__ = [
    "accelerator",
    "compiled",
    "compiler",
    "forward_and_back",
    "inference_of",
    "training_of",
    "training_of_model",
]
