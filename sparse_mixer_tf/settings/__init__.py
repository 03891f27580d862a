"""Everything that a run is made of, as frozen dataclasses that go to JSON and back.

Each field is one command-line flag: its default, its help and its limits stand here and nowhere
else (`flags.py` makes the flags from them).
"""

from sparse_mixer_tf.settings.fields import Checked, SettingsError, setting, value_type
from sparse_mixer_tf.settings.model import ModelSettings
from sparse_mixer_tf.settings.run import RunSettings
from sparse_mixer_tf.settings.training import TrainingSettings, check_batch

__all__ = [
    "Checked",
    "ModelSettings",
    "RunSettings",
    "SettingsError",
    "TrainingSettings",
    "check_batch",
    "setting",
    "value_type",
]
