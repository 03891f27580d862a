"""What the folder of an export holds besides the SavedModel."""

import json
from pathlib import Path

from sparse_mixer_tf.settings import SettingsError

# What an export says of itself to programs; its presence is what makes a folder an export.
FACTS = "export.json"
PRESET, CARD = "keras_hub", "README.md"


def read_facts(export: Path) -> dict:
    """What an export says of itself.

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
