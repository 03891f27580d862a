"""The text classifier does what a KerasHub user expects of one."""

import keras
import keras_hub
import numpy as np
import pytest
import tensorflow as tf

from sparse_mixer_tf.models import (
    SparseMixerTextClassifier,
    SparseMixerTextClassifierPreprocessor,
    SparseMixerTokenizer,
)
from tests.models.small_vocabulary import SEQUENCE, TEXTS

# KerasHub's own: its tasks hand Keras shuffled data sets and save optimizers without their slots.
pytestmark = [
    pytest.mark.filterwarnings("ignore:`shuffle=True` was passed"),
    pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer"),
    pytest.mark.filterwarnings("ignore:`compile\\(\\)` was not called as part of model loading"),
]


@pytest.fixture
def preprocessor(vocabulary):
    return SparseMixerTextClassifierPreprocessor(
        SparseMixerTokenizer(vocabulary), sequence_length=SEQUENCE
    )


@pytest.fixture
def classifier(make_backbone, preprocessor):
    return SparseMixerTextClassifier(make_backbone("sf"), 3, preprocessor)


def test_it_learns_to_tell_three_sentences_apart(make_backbone, preprocessor):
    backbone = make_backbone("sf", dropout_rate=0.0, attention_dropout_rate=0.0)
    classifier = SparseMixerTextClassifier(backbone, 3, preprocessor)
    # Not keras.utils.set_random_seed, which clears the resource that the tokenizer lives in.
    rng = np.random.default_rng(0)
    for weight in classifier.trainable_weights:
        if weight.path.endswith(("kernel", "embedding")):
            weight.assign(rng.normal(0, 0.1, weight.shape))
    classifier.compile(
        keras.optimizers.Adam(1e-2),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,
    )
    classifier.fit(TEXTS * 60, [0, 1, 2] * 60, batch_size=3, epochs=2, verbose=0)
    assert classifier.predict(TEXTS, verbose=0).argmax(-1).tolist() == [0, 1, 2]


def test_pairs_of_texts_are_packed_as_two_segments(preprocessor):
    pair = (tf.constant(["the fox"]), tf.constant(["a boat"]))
    packed = preprocessor(x=pair)
    tokenizer = preprocessor.tokenizer
    first, second = ([int(i) for i in tokenizer(text)] for text in ("the fox", "a boat"))
    cls, sep, pad = tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.pad_token_id
    expected = [cls, *first, sep, *second, sep]
    padding = SEQUENCE - len(expected)
    assert np.asarray(packed["token_ids"])[0].tolist() == expected + [pad] * padding
    assert np.asarray(packed["segment_ids"])[0].tolist() == (
        [0] * (len(first) + 2) + [1] * (len(second) + 1) + [0] * padding
    )
    assert np.asarray(packed["padding_mask"])[0].sum() == len(expected)


def test_a_preset_directory_keeps_the_head_unless_classes_are_given(classifier, tmp_path):
    classifier.save_to_preset(tmp_path)
    inputs = classifier.preprocessor(TEXTS)
    again = SparseMixerTextClassifier.from_preset(str(tmp_path))
    np.testing.assert_array_equal(again(inputs), classifier(inputs))
    other = keras_hub.models.TextClassifier.from_preset(str(tmp_path), num_classes=5)
    assert type(other) is SparseMixerTextClassifier
    assert other(inputs).shape == (3, 5)


def test_it_is_saved_and_loaded_as_any_keras_model(classifier, tmp_path):
    classifier.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    inputs = classifier.preprocessor(TEXTS)
    np.testing.assert_array_equal(again(inputs), classifier(inputs))
    assert again.predict(TEXTS, verbose=0).shape == (3, 3)


def test_the_config_holds_what_it_was_made_with(make_backbone):
    classifier = SparseMixerTextClassifier(
        make_backbone("sf"), 2, activation="softmax", dropout_rate=0.25
    )
    config = classifier.get_config()
    again = SparseMixerTextClassifier.from_config(classifier.get_config())
    assert (config["num_classes"], config["dropout_rate"]) == (2, 0.25)
    assert again.get_config() == config
    assert again.activation is keras.activations.softmax


def test_logits_are_float32_in_mixed_precision(make_backbone, batch):
    backbone = make_backbone("sf", dtype="mixed_bfloat16")
    assert SparseMixerTextClassifier(backbone, 2)(batch).dtype == "float32"
