"""A pre-trained encoder, served: what stands at each [MASK], and vectors of texts."""

from pathlib import Path

import keras
import tensorflow as tf

from pipelines.settings import DataSettings
from pipelines.tokenizers.sentencepiece_model import Vocabulary
from sparse_mixer_tf.serving.ops.packing import Packer
from sparse_mixer_tf.serving.saved_model import ServedModel, Signature, texts


def masked_words(
    model: keras.Model,
    words: Vocabulary,
    data: DataSettings,
    vocabulary_file: Path,
    top: int,
) -> ServedModel:
    """The signatures of a pre-trained model.

    Args:
        model: a `PretrainingModel`.
        words: of its ids.
        data: sequence length and number of predictions.
        vocabulary_file: kept with the model.
        top: words given for each mask.
    """
    packer = Packer(words, data.max_seq_length)
    pieces = tf.constant([words.piece(i) for i in range(words.size)])
    top, slots, backbone = min(top, words.size), data.num_predictions, model.backbone

    def ids(token_ids, segment_ids, padding_mask, mask_positions, mask_weights):
        inputs = {
            "token_ids": token_ids,
            "segment_ids": segment_ids,
            "padding_mask": padding_mask,
            "mask_positions": mask_positions,
        }
        logits = model(inputs, training=False)["mlm_logits"]
        shares, chosen = tf.math.top_k(tf.nn.softmax(tf.cast(logits, tf.float32)), top)
        return {
            "words": tf.gather(pieces, chosen),
            "word_ids": chosen,
            "probabilities": shares,
            "is_mask": mask_weights > 0,
        }

    def tokenize(text):
        rows = packer.pack_masked(text)
        positions, real = packer.mask_slots(rows["token_ids"], slots)
        return {
            **rows,
            "mask_positions": positions,
            "mask_weights": tf.cast(real, tf.float32),
        }

    def encode(text):
        rows = packer.pack_masked(text)
        encoded = backbone(rows, training=False)
        return {
            "pooled": tf.cast(encoded["pooled_output"], tf.float32),
            "tokens": tf.cast(encoded["sequence_output"], tf.float32),
            "token_ids": rows["token_ids"],
            "padding_mask": rows["padding_mask"],
        }

    rows, masks = [None, data.max_seq_length], [None, slots]
    filled = {
        "words": f"the {top} likeliest pieces at each mask, likeliest first; ▁ begins a word",
        "word_ids": "their ids",
        "probabilities": "their probabilities",
        "is_mask": "which of the slots hold a mask of the text; ignore the others",
    }
    text = {"text": "text in which [MASK] stands for a word"}
    packed = {
        "token_ids": "[CLS] text [SEP], padded",
        "segment_ids": "0 everywhere for one text",
        "padding_mask": "true on tokens",
    }
    slotted = {
        "mask_positions": "where the masks stand; 0 in unused slots",
        "mask_weights": "1, and 0 in unused slots",
    }
    specifications = {
        "token_ids": tf.TensorSpec(rows, tf.int32),
        "segment_ids": tf.TensorSpec(rows, tf.int32),
        "padding_mask": tf.TensorSpec(rows, tf.bool),
        "mask_positions": tf.TensorSpec(masks, tf.int32),
        "mask_weights": tf.TensorSpec(masks, tf.float32),
    }
    vectors = {
        "pooled": "a vector of the whole text",
        "tokens": "a vector of each token",
        "token_ids": "the tokens",
        "padding_mask": "which of them are real",
    }
    signatures = {
        "serving_default": Signature(lambda text: ids(**tokenize(text)), texts(), text | filled),
        "ids": Signature(ids, specifications, packed | slotted | filled),
        "encode": Signature(encode, texts(), text | vectors),
        "tokenize": Signature(tokenize, texts(), text | packed | slotted),
    }
    return ServedModel(model, signatures, [packer.tokenizer], vocabulary_file)
