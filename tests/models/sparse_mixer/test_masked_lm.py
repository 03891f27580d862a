"""The masked language model does what a KerasHub user expects of one."""

import keras
import keras_hub
import numpy as np
import pytest

from sparse_mixer_tf.models import (
    SparseMixerMaskedLM,
    SparseMixerMaskedLMPreprocessor,
    SparseMixerTextClassifier,
    SparseMixerTokenizer,
)
from tests.models.small_vocabulary import SEQUENCE, TEXTS

# KerasHub's own: its tasks hand Keras shuffled data sets, save optimizers without their slots and
# leave the pooler out of this loss.
pytestmark = [
    pytest.mark.filterwarnings("ignore:`shuffle=True` was passed"),
    pytest.mark.filterwarnings("ignore:Gradients do not exist for variables .'pooler"),
    pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer"),
    pytest.mark.filterwarnings("ignore:`compile\\(\\)` was not called as part of model loading"),
]


@pytest.fixture
def masked_lm(make_backbone, vocabulary):
    preprocessor = SparseMixerMaskedLMPreprocessor(
        SparseMixerTokenizer(vocabulary), sequence_length=SEQUENCE, mask_selection_length=3
    )
    return SparseMixerMaskedLM(make_backbone(), preprocessor)


def test_it_fits_and_predicts_raw_text(masked_lm):
    before = [weight.numpy() for weight in masked_lm.trainable_weights]
    history = masked_lm.fit(TEXTS * 2, batch_size=4, epochs=2, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    moved = [
        weight.path
        for old, weight in zip(before, masked_lm.trainable_weights, strict=True)
        if np.any(old != weight)
    ]
    assert {"sublayer_01_g/moe/router/kernel", "embedding/token_embedding"} <= set(moved)
    assert not [path for path in moved if path.startswith("pooler")]
    assert masked_lm.predict(TEXTS, verbose=0).shape == (3, 3, 60)


def test_short_sequences_need_no_setting_of_their_own(vocabulary):
    tokenizer = SparseMixerTokenizer(vocabulary)
    preprocessor = SparseMixerMaskedLMPreprocessor(tokenizer, sequence_length=SEQUENCE)
    x, _, _ = preprocessor(TEXTS)
    assert x["mask_positions"].shape == (len(TEXTS), SEQUENCE)
    assert SparseMixerMaskedLMPreprocessor(tokenizer).mask_selection_length == 80


def test_the_preprocessor_masks_words_and_keeps_what_was_there(masked_lm):
    tokenizer = masked_lm.preprocessor.tokenizer
    texts = TEXTS * 30
    x, truth, weights = masked_lm.preprocessor(texts)
    ids, truth, real = np.array(x["token_ids"]), np.array(truth), np.array(weights) > 0
    rows, slots = np.nonzero(real)
    positions = np.array(x["mask_positions"])[rows, slots]
    assert (ids[rows, positions] == tokenizer.mask_token_id).mean() > 0.6
    ids[rows, positions] = truth[rows, slots]
    for row, text in zip(ids, texts, strict=True):
        words = [int(i) for i in tokenizer(text)][: SEQUENCE - 2]
        expected = [tokenizer.cls_token_id, *words, tokenizer.sep_token_id]
        assert row[: len(expected)].tolist() == expected


@pytest.mark.parametrize("task", [SparseMixerMaskedLM, keras_hub.models.MaskedLM])
def test_a_preset_directory_holds_everything(masked_lm, tmp_path, task):
    masked_lm.save_to_preset(tmp_path)
    again = task.from_preset(str(tmp_path))
    assert type(again) is SparseMixerMaskedLM
    inputs = masked_lm.preprocessor(TEXTS)[0]
    np.testing.assert_array_equal(again(inputs), masked_lm(inputs))
    assert again.preprocessor.mask_selection_length == 3
    assert again.preprocessor.sequence_length == SEQUENCE
    vocabulary = masked_lm.preprocessor.tokenizer.get_vocabulary()
    assert again.preprocessor.tokenizer.get_vocabulary() == vocabulary


def test_a_classifier_starts_from_the_same_preset_and_its_length_of_sequence(masked_lm, tmp_path):
    masked_lm.save_to_preset(tmp_path)
    classifier = SparseMixerTextClassifier.from_preset(str(tmp_path), num_classes=3)
    assert classifier.preprocessor.sequence_length == SEQUENCE
    inputs = classifier.preprocessor(TEXTS)
    assert classifier(inputs).shape == (3, 3)
    np.testing.assert_array_equal(
        classifier.backbone(inputs)["sequence_output"],
        masked_lm.backbone(inputs)["sequence_output"],
    )


def test_it_is_saved_and_loaded_as_any_keras_model(masked_lm, tmp_path):
    masked_lm.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    inputs = masked_lm.preprocessor(TEXTS)[0]
    np.testing.assert_array_equal(again(inputs), masked_lm(inputs))


def test_the_summary_shows_vocabulary_backbone_and_head(masked_lm):
    lines = []
    masked_lm.summary(print_fn=lines.append)
    text = "\n".join(lines)
    for name in ("sparse_mixer_tokenizer", "sparse_mixer_backbone", "masked_lm_head"):
        assert name in text
