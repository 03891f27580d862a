"""Models that an earlier version saved load, wherever their classes have moved since."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from sparse_mixer_tf.models import BrainformerCausalLM
from tests.reference_files import FIXTURES

SAVED = FIXTURES / "saved"


@pytest.fixture(scope="module")
def outputs():
    with np.load(SAVED / "outputs.npz") as arrays:
        return dict(arrays)


def test_an_encoder_of_every_sublayer_gives_the_outputs_that_it_gave(outputs):
    encoder = keras.models.load_model(SAVED / "encoder.keras")
    ids = outputs["ids"]
    batch = {
        "token_ids": ids,
        "segment_ids": np.zeros_like(ids),
        "padding_mask": np.ones_like(ids, bool),
    }
    np.testing.assert_allclose(
        encoder(batch)["sequence_output"], outputs["sequence_output"], atol=1e-5
    )


@pytest.mark.parametrize("how", ["file", "preset"])
def test_a_language_model_gives_the_outputs_that_it_gave(outputs, how):
    if how == "file":
        lm = keras.models.load_model(SAVED / "causal_lm.keras")
    else:
        lm = BrainformerCausalLM.from_preset(str(SAVED / "causal_lm_preset"))
    token_ids = tf.constant(outputs["ids"])
    logits = lm({"token_ids": token_ids, "memory": lm.backbone.no_memory(len(token_ids))})["logits"]
    np.testing.assert_allclose(logits, outputs["logits"], atol=1e-5)
