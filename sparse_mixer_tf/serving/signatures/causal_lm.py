"""A language model, served: what comes after a text, and the text continued."""

from pathlib import Path

import keras
import tensorflow as tf

from pipelines.tokenizers.sentencepiece_model import Pieces
from pipelines.tokenizers.symbols import Symbols
from sparse_mixer_tf.serving.ops.decoding import CarriedReading
from sparse_mixer_tf.serving.ops.ragged import lengths
from sparse_mixer_tf.serving.ops.sampling import Choice, choose, draws
from sparse_mixer_tf.serving.ops.tokenizers import PieceCodec, SymbolCodec
from sparse_mixer_tf.serving.saved_model import ServedModel, Signature, texts


def text_writer(
    model: keras.Model, vocabulary: Symbols | Pieces, vocabulary_file: Path, top: int
) -> ServedModel:
    """The signatures of a language model.

    Args:
        model: a `BrainformerCausalLM`.
        vocabulary: of its ids.
        vocabulary_file: kept with the model.
        top: likeliest symbols that are named.
    """

    codec = (PieceCodec if isinstance(vocabulary, Pieces) else SymbolCodec)(vocabulary)
    reading, top = CarriedReading(model), min(top, codec.size)

    def begun(token_ids, sizes):
        """Rows of at least one token: an empty text begins behind the end of a line."""
        is_empty = tf.equal(sizes, 0)
        token_ids = tf.pad(token_ids, [[0, 0], [0, 1]])
        first = tf.where(is_empty, codec.first_id, token_ids[:, 0])
        return tf.concat([first[:, None], token_ids[:, 1:]], 1), tf.maximum(sizes, 1)

    def distribution(token_ids, sizes):
        logits, _ = reading.after(*begun(token_ids, sizes))
        shares = tf.nn.softmax(logits)
        likeliest, chosen = tf.math.top_k(shares, top)
        return {
            "symbols": tf.gather(codec.shown, chosen),
            "symbol_probabilities": likeliest,
            "probabilities": shares,
        }

    def after_text(text):
        ids, unknown = codec.encode(text)
        return {**distribution(ids.to_tensor(), lengths(ids)), "unknown": unknown}

    def after_ids(token_ids, padding_mask):
        return distribution(token_ids, tf.reduce_sum(tf.cast(padding_mask, tf.int32), axis=1))

    def tokenize(text):
        ids, unknown = codec.encode(text)
        token_ids = ids.to_tensor()
        return {
            "token_ids": token_ids,
            "padding_mask": tf.range(tf.shape(token_ids)[1]) < lengths(ids)[:, None],
            "unknown": unknown,
        }

    def generate(text, length, temperature, top_k, top_p, seed):
        ids, unknown = codec.encode(text)
        token_ids, sizes = begun(ids.to_tensor(), lengths(ids))
        length = tf.maximum(length, 0)
        longest = tf.reduce_max(length)
        random, choice = draws(seed, tf.maximum(longest, 1)), Choice(temperature, top_k, top_p)
        logits, memory = reading.after(token_ids, sizes)
        written = reading.write(
            logits, memory, longest, lambda logits, n: choose(logits, random[:, n], choice)
        )
        return {
            "continuation": codec.decode(tf.RaggedTensor.from_tensor(written, length), text),
            "token_ids": tf.where(tf.range(longest) < length[:, None], written, -1),
            "unknown": unknown,
        }

    text = {"text": "text to go on from; an empty one stands for the end of a line"}
    unknown = {"unknown": "symbols of the text that the model does not know, and that it left out"}
    answers = {
        "symbols": f"the {top} likeliest next symbols, likeliest first",
        "symbol_probabilities": "their probabilities",
        "probabilities": "of every symbol, by id",
    }
    packed = {"token_ids": "ids of the text", "padding_mask": "true on tokens, which come first"}
    per_request = {
        "length": tf.TensorSpec(None, tf.int32),
        "temperature": tf.TensorSpec(None, tf.float32),
        "top_k": tf.TensorSpec(None, tf.int32),
        "top_p": tf.TensorSpec(None, tf.float32),
        "seed": tf.TensorSpec(None, tf.int32),
    }
    written = {
        "length": "symbols to write",
        "temperature": "below 1 likely symbols are favoured; 0 always takes the likeliest",
        "top_k": "choose among so many symbols; 0: among all",
        "top_p": "choose among so much probability; 1: among all",
        "seed": "of the dice; the same prompt and seed are continued alike in any batch",
        "continuation": "what comes behind the text",
        "token_ids": "its ids, -1 behind a row's own `length`",
    }
    rows = {
        "token_ids": tf.TensorSpec([None, None], tf.int32),
        "padding_mask": tf.TensorSpec([None, None], tf.bool),
    }
    signatures = {
        "serving_default": Signature(after_text, texts(), text | answers | unknown),
        "ids": Signature(after_ids, rows, packed | answers),
        "generate": Signature(
            generate, texts() | per_request, text | written | unknown, tuple(per_request)
        ),
        "tokenize": Signature(tokenize, texts(), text | packed | unknown),
    }
    return ServedModel(model, signatures, codec.resources, vocabulary_file)
