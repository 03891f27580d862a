"""The folder of an export: its files besides the SavedModel.

An export, loaded to be asked.
"""

import json
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_text  # noqa: F401, its operations are in the graph

from sparse_mixer_tf.settings import SettingsError

# What an export says of itself to programs; its presence is what makes a folder an export.
FACTS = "export.json"
PRESET, CARD = "keras_hub", "README.md"


def read_facts(export: Path) -> dict:
    """Return the facts that an export keeps.

    Raises:
        SettingsError: the folder holds no export.
    """
    try:
        return json.loads((export / FACTS).read_text("utf-8"))
    except (OSError, ValueError):
        raise SettingsError(
            f"--export={export} holds no export; `python -m sparse_mixer_tf.export "
            "--workdir=RUN --output=DIR` writes one"
        ) from None


class Exported:
    """See `ServedModel.answer`.

    Attributes:
        facts: what the export says of itself.
        vocabulary: the file of its vocabulary.
    """

    def __init__(self, folder: Path):
        """Loads it.

        Raises:
            SettingsError: the folder holds no export, or a damaged one.
        """
        self.facts = read_facts(folder)
        self.vocabulary = folder / "assets" / self.facts["vocabulary"]
        try:
            self._model = tf.saved_model.load(str(folder))
        except (OSError, ValueError, tf.errors.OpError) as error:
            reason = str(error).splitlines()[0]
            raise SettingsError(f"--export={folder} cannot be loaded ({reason})") from None

    def answer(self, name: str, **inputs) -> dict[str, np.ndarray]:
        """Asks a signature; inputs are arrays or lists, texts bytes or str."""
        ask = self._model.signatures[name]
        specs = ask.structured_input_signature[1]
        tensors = {key: tf.constant(value, specs[key].dtype) for key, value in inputs.items()}
        return {key: value.numpy() for key, value in ask(**tensors).items()}
