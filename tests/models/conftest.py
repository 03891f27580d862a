"""A tiny vocabulary and backbone that the tests of whole models share."""

import numpy as np
import pytest

from sparse_mixer_tf.models import SparseMixerBackbone
from tests.models.small_vocabulary import SEQUENCE, train_vocabulary


@pytest.fixture(scope="session")
def vocabulary() -> bytes:
    return train_vocabulary(user_defined_symbols=["[CLS]", "[SEP]", "[MASK]"])


@pytest.fixture
def make_backbone():
    """Makes a backbone of width 8 for sequences of 12 tokens."""

    def make(architecture="lgsf", **options):
        return SparseMixerBackbone(
            **{
                "vocabulary_size": 60,
                "architecture": architecture,
                "d_model": 8,
                "d_ff": 16,
                "num_heads": 2,
                "max_sequence_length": SEQUENCE,
                "routing": {"num_experts": 4} if "g" in architecture else None,
                **options,
            }
        )

    return make


@pytest.fixture
def batch() -> dict[str, np.ndarray]:
    """Three sequences, the second with padding."""
    rng = np.random.default_rng(0)
    lengths = np.array([SEQUENCE, 7, SEQUENCE])
    real = np.arange(SEQUENCE) < lengths[:, None]
    return {
        "token_ids": np.where(real, rng.integers(5, 60, real.shape), 0).astype("int32"),
        "segment_ids": np.where(real, np.arange(SEQUENCE) > 4, 0).astype("int32"),
        "padding_mask": real,
    }
