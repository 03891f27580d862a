"""The settings of flags, without a program."""

import os
from collections.abc import Sequence
from pathlib import Path

from absl.testing import flagsaver

import sparse_mixer_tf.cli.flags as ours
from sparse_mixer_tf.cli.flags import FLAGS


def settings_of(arguments: Sequence[str], folder: Path) -> str:
    """The settings of every section, as text, of a command line in a folder."""
    before = os.getcwd()
    os.chdir(folder)
    try:
        with flagsaver.flagsaver():
            for flag in FLAGS:
                FLAGS[flag].unparse()
            FLAGS(["check", *arguments])
            sections = (ours.model_settings, ours.training_settings, ours.run_settings)
            return " ".join(str(section()) for section in (*sections, ours.data_settings))
    finally:
        os.chdir(before)
