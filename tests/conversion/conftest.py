"""Fixtures of conversions: our model made of a plain one, by way of its preset."""

from pathlib import Path

import pytest

from sparse_mixer_tf.conversion import preset_writer
from sparse_mixer_tf.conversion.portable_model import PlainModel
from tests.models.small_vocabulary import train_vocabulary


@pytest.fixture(scope="session")
def vocabulary_bytes() -> bytes:
    """A SentencePiece model of 60 pieces."""
    return train_vocabulary(user_defined_symbols=["[CLS]", "[SEP]", "[MASK]"])


@pytest.fixture
def write_preset(tmp_path):
    """Writes a plain model and returns the folder."""

    def write(model: PlainModel, name: str = "preset") -> Path:
        folder = tmp_path / name
        folder.mkdir()
        preset_writer.write(model, folder)
        return folder

    return write
