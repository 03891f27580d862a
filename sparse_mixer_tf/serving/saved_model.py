"""The base of every served model: named signatures over weights, any number of rows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf


@dataclass(frozen=True)
class Signature:
    """One way to ask a served model.

    Attributes:
        call: `(**inputs) -> {output: tensor}`; the first axis of everything is the batch, which is
            never empty.
        inputs: of each argument its dtype and shape.
        explained: of each input and each output, by name, one sentence.
        per_request: inputs that may also be one scalar for the whole batch.
    """

    call: Callable[..., dict[str, tf.Tensor]]
    inputs: dict[str, tf.TensorSpec]
    explained: dict[str, str]
    per_request: tuple[str, ...] = ()

    def any_batch(self, **inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """The answers; to an empty batch, those to a blank row that is taken away again."""
        leading = next(name for name in self.inputs if name not in self.per_request)
        batch = tf.shape(inputs[leading])[0]
        rows = tf.maximum(batch, 1)
        for name, value in inputs.items():
            if name in self.per_request:
                value = tf.reshape(value, [-1])
                value = tf.cond(
                    tf.equal(tf.size(value), rows),
                    lambda value=value: value,
                    lambda value=value: tf.repeat(value[:1], rows),
                )
                value.set_shape([None])
            else:
                blank = tf.zeros(
                    tf.concat([[rows - batch], tf.shape(value)[1:]], 0), dtype=value.dtype
                )
                value = tf.ensure_shape(tf.concat([value, blank], 0), self.inputs[name].shape)
            inputs[name] = value
        return {name: value[:batch] for name, value in self.call(**inputs).items()}


class ServedModel(tf.Module):
    """Weights and what else its signatures use, so that they can be saved together.

    Args:
        model: whose weights the signatures use.
        signatures: by name; `serving_default` among them.
        resources: tokenizers and tables that they use.
        vocabulary: file that is kept in `assets/`.
    """

    def __init__(
        self,
        model: keras.Model,
        signatures: dict[str, Signature],
        resources: Sequence,
        vocabulary: Path,
    ):
        super().__init__(name="served_model")
        # The values themselves: what a Keras model holds in Python lists would not be saved.
        self.weights = [variable.value for variable in model.variables]
        self.resources = list(resources)
        self.vocabulary = tf.saved_model.Asset(str(vocabulary))
        self._signatures = signatures
        self._traced = {}

    @property
    def explained_signatures(self) -> dict[str, Signature]:
        """The signatures by name."""
        return dict(self._signatures)

    def concrete(self, name: str):
        """One signature, traced."""
        if name not in self._traced:
            signature = self._signatures[name]
            specs = {
                key: tf.TensorSpec(spec.shape, spec.dtype, name=key)
                for key, spec in signature.inputs.items()
            }
            function = tf.function(signature.any_batch, autograph=False)
            self._traced[name] = function.get_concrete_function(**specs)
        return self._traced[name]

    def answer(self, name: str, **inputs) -> dict[str, np.ndarray]:
        """Asks a signature.

        Args:
            name: of the signature.
            inputs: arrays or lists; texts are bytes or str.
        """
        specs = self._signatures[name].inputs
        tensors = {key: tf.constant(value, specs[key].dtype) for key, value in inputs.items()}
        return {key: value.numpy() for key, value in self.concrete(name)(**tensors).items()}

    def save(self, folder: Path) -> None:
        """Writes a SavedModel."""
        tf.saved_model.save(
            self, str(folder), signatures={name: self.concrete(name) for name in self._signatures}
        )


def texts(name: str = "text") -> dict[str, tf.TensorSpec]:
    """The specification of an input of raw texts."""
    return {name: tf.TensorSpec([None], tf.string)}
