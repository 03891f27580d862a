"""A fine-tuned classifier or regression, served: texts in, classes and their probabilities out."""

from pathlib import Path

import keras
import tensorflow as tf

from pipelines.settings import DataSettings
from pipelines.tokenizers.sentencepiece_model import Vocabulary
from sparse_mixer_tf.serving.ops.packing import Packer
from sparse_mixer_tf.serving.saved_model import ServedModel, Signature


def segment_inputs(segments: tuple[str, ...]) -> dict[str, str]:
    """Return the name of each text input, and of the segment that it takes.

    Args:
        segments: names of the segments as the data have them.

    Returns:
        `text`, or `text_1`, `text_2`, …, each with the name of its segment.
    """
    if len(segments) == 1:
        return {"text": segments[0]}
    return {f"text_{number}": name for number, name in enumerate(segments, 1)}


def classifier(
    model: keras.Model,
    words: Vocabulary,
    data: DataSettings,
    vocabulary_file: Path,
    labels: tuple[str, ...],
    segments: tuple[str, ...],
) -> ServedModel:
    """The signatures of a classifier.

    Args:
        model: a `SparseMixerTextClassifier`.
        words: of its ids.
        data: sequence length and truncation.
        vocabulary_file: kept with the model.
        labels: names of the classes; empty for a regression.
        segments: names of the texts that an example has.
    """
    packer = Packer(words, data.max_seq_length, data.truncation)
    names = segment_inputs(segments)

    def ids(token_ids, segment_ids, padding_mask):
        inputs = {
            "token_ids": token_ids,
            "segment_ids": segment_ids,
            "padding_mask": padding_mask,
        }
        logits = tf.cast(model(inputs, training=False), tf.float32)
        if not labels:
            return {"value": logits[:, 0]}
        classes = tf.constant(labels)
        return {
            "label": tf.gather(classes, tf.argmax(logits, axis=-1)),
            "classes": tf.tile(classes[None], [tf.shape(logits)[0], 1]),
            "probabilities": tf.nn.softmax(logits),
        }

    def tokenize(**given):
        return packer.pack([given[name] for name in names])

    answers = {
        "label": "the likeliest class",
        "classes": "the names of all classes, the same in every row",
        "probabilities": "their probabilities, in the order of `classes`",
    }
    if not labels:
        answers = {"value": "the predicted number"}
    given = {name: f"{segment}: a text" for name, segment in names.items()}
    packed = {
        "token_ids": "[CLS] text [SEP] text [SEP] …, padded",
        "segment_ids": "number of the text, its [SEP] included; 0 for [CLS] and padding",
        "padding_mask": "true on tokens",
    }
    rows = [None, data.max_seq_length]
    specifications = {
        "token_ids": tf.TensorSpec(rows, tf.int32),
        "segment_ids": tf.TensorSpec(rows, tf.int32),
        "padding_mask": tf.TensorSpec(rows, tf.bool),
    }
    strings = {name: tf.TensorSpec([None], tf.string) for name in names}
    signatures = {
        "serving_default": Signature(
            lambda **given: ids(**tokenize(**given)), strings, given | answers
        ),
        "ids": Signature(ids, specifications, packed | answers),
        "tokenize": Signature(tokenize, strings, given | packed),
    }
    return ServedModel(model, signatures, [packer.tokenizer], vocabulary_file)
