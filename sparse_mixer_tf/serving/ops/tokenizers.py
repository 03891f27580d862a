"""Tokenizers as graph operations: SentencePiece of tensorflow-text, bytes, characters, words."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
import tensorflow_text as tf_text

from pipelines.errors import InputError
from pipelines.tokenizers.sentencepiece_model import WORD_BEGINS, Pieces, Vocabulary, plain_text
from pipelines.tokenizers.symbols import END_OF_LINE, Symbols
from sparse_mixer_tf.serving.ops.ragged import lengths

# Texts on which tokenizers have been seen to differ: ties between pieces, bytes of characters that
# a vocabulary lacks, control characters, spaces of all kinds, scripts without spaces.
AWKWARD_TEXTS = (
    "",
    " ",
    "  two  spaces  ",
    "\ttab\tand end ",
    "!!!!",
    "......",
    "aaaaaaaaaaaaaaaa",
    "don't.",
    "1,234.50",
    "I\xb2 \xbd \ufb01ne",
    "caf\xe9 cafe\u0301 Z\xfcrich",
    "\xa0no\xa0break\u3000wide",
    "zero\u200bwidth\u200djoiner",
    "\x01control\x7f",
    "\u4eca\u5929\u5929\u6c14\u5f88\u597d\u3002",
    "\u65e5\u672c\u8a9e",
    "\U0001f44d \U0001f44e",
    "good\U0001f44d",
    "\U0001f469\u200d\U0001f680",
    "\u0e44\u0e17\u0e22",
    "\u0645\u0631\u062d\u0628\u0627",
    "<pad> [CLS] [MASK]",
    "\u2581under\u2581",
    "UPPER lower MiXeD",
    "http://a.b/c?d=e&f",
    "\ufffd",
)


def graph_tokenizer(words: Vocabulary):
    """Return a tokenizer with int32 ids for use in a graph, chosen by its ids.

    tensorflow-text has two. The fast one knows neither the merges of BPE nor options as
    byte_fallback, and the other one breaks ties between equally likely pieces of a unigram model as
    older sentencepiece did: `!!!!` becomes `!!! !` instead of `! !!!`, on 0.3% of the lines of web
    text. The one with fewer differences from the sentencepiece package on awkward texts is taken,
    and among equals the fast one for a unigram model.

    Args:
        words: the vocabulary; whether special pieces in a text are plain text is a matter of it.

    Raises:
        InputError: the model is of whole words, which tensorflow-text cannot read.
    """
    if not words.has_pieces:
        raise InputError(
            "a SentencePiece model of whole words cannot be read by tensorflow-text; train a BPE "
            "or a unigram model"
        )
    exact = tf_text.SentencepieceTokenizer(words.model_bytes, out_type=tf.int32)
    if not words.is_unigram:
        return exact
    fast = tf_text.FastSentencepieceTokenizer(words.model_bytes)
    return min((fast, exact), key=lambda tokenizer: len(differences(tokenizer, words)))


def differences(tokenizer, words: Vocabulary, texts: Sequence[str] = AWKWARD_TEXTS) -> list[str]:
    """Return the texts whose ids differ from those of the sentencepiece package."""
    ours = tokenizer.tokenize(tf.constant(list(texts))).to_list()
    theirs = words.encode_batch(list(texts))
    return [t for t, one, other in zip(texts, ours, theirs, strict=True) if one != list(other)]


class PieceCodec:
    """Lines of pieces with [SEP] for each end of a line; see `SymbolCodec` for the attributes."""

    def __init__(self, pieces: Pieces):
        words = plain_text(Vocabulary(pieces.model_bytes))
        self.size, self.first_id, self._sep_id = words.size, words.sep_id, words.sep_id
        spelled = [words.piece(i) for i in range(words.size)]
        self._begins_word = tf.constant([piece.startswith(WORD_BEGINS) for piece in spelled])
        spelled[words.sep_id] = "\n"
        self.shown = tf.constant(spelled)
        self._tokenizer = graph_tokenizer(words)
        # Unlike the fast one, this leaves no space where a line begins.
        self._detokenizer = tf_text.SentencepieceTokenizer(words.model_bytes, out_type=tf.int32)
        self.resources = [self._tokenizer, self._detokenizer]

    def encode(self, text: tf.Tensor) -> tuple[tf.RaggedTensor, tf.Tensor]:
        """The ids of texts, ragged int32 [batch, None]; nothing is ever left out."""
        lines = tf.strings.split(tf.strings.regex_replace(text, "\r\n", "\n"), "\n")
        ids = self._tokenizer.tokenize(lines)
        ends = tf.cast(tf.expand_dims(tf.ones_like(ids.row_lengths(axis=2)), 2), tf.int32)
        ids = tf.concat([ids, ends * self._sep_id], axis=2).merge_dims(1, 2)
        # One end of a line less than lines.
        return ids[:, :-1], tf.zeros_like(text, tf.int32)

    def decode(self, ids: tf.RaggedTensor, before: tf.Tensor) -> tf.Tensor:
        """The text of ids, string [batch], to be put behind another text.

        Args:
            ids: int32 [batch, None].
            before: string [batch], that text; a space is wanted unless it ends in white space.
        """
        first = ids[:, :1].to_tensor(self._sep_id, shape=[None, 1])[:, 0]
        goes_on = tf.strings.regex_full_match(before, r"(?s).*\S")
        spaced = tf.gather(self._begins_word, first) & goes_on
        ended = tf.concat([ids, tf.fill([ids.nrows(out_type=tf.int32), 1], self._sep_id)], axis=1)
        is_end = tf.equal(ended, self._sep_id)
        limits = tf.where(is_end.flat_values)[:, 0] + 1
        lines = tf.RaggedTensor.from_row_limits(ended.flat_values, limits)
        text = self._detokenizer.detokenize(lines)
        number = tf.reduce_sum(tf.cast(is_end, tf.int64), axis=1)
        joined = tf.strings.reduce_join(
            tf.RaggedTensor.from_row_lengths(text, number), axis=1, separator="\n"
        )
        return tf.strings.join([tf.where(spaced, " ", ""), joined])


# What Python calls white space and TensorFlow does not.
_WHITE_SPACE = "[\x1c-\x1f\x85\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]"


class SymbolCodec:
    """A closed vocabulary inside a graph; symbols that it lacks are left out, and counted.

    Args:
        symbols: the vocabulary.

    Attributes:
        size: of the vocabulary.
        resources: what must be tracked by what is saved.
        shown: string [size], each symbol as text.
        first_id: what an empty text is continued from: the end of a line, if there is one.
    """

    def __init__(self, symbols: Symbols):
        self.size, self._tokenizer, self.resources = symbols.size, symbols.tokenizer, []
        listed = symbols.symbols
        line_end = {"byte": 10, "character": "\n", "word": END_OF_LINE}[symbols.tokenizer]
        self.first_id = listed.index(line_end) if line_end in listed else 0
        if symbols.tokenizer == "byte":
            self.shown = tf.constant([bytes([value]) for value in listed])
            self._id_of_byte = np.full(256, -1, np.int32)
            self._id_of_byte[listed] = np.arange(symbols.size)
        elif symbols.tokenizer == "character":
            self.shown = tf.constant([s.encode("utf-8", "replace") for s in listed])
            codes = np.array([ord(symbol) for symbol in listed], np.int32)
            self._ids_by_code = np.argsort(codes).astype(np.int32)
            self._codes = codes[self._ids_by_code]
        else:
            spelled = ["\n" if word == END_OF_LINE else word for word in listed]
            self.shown = tf.constant(spelled)
            entries = tf.lookup.KeyValueTensorInitializer(
                tf.constant(listed), tf.range(symbols.size)
            )
            self._table = tf.lookup.StaticHashTable(entries, default_value=-1)
            self.resources = [self._table]

    def encode(self, text: tf.Tensor) -> tuple[tf.RaggedTensor, tf.Tensor]:
        """The ids of texts, ragged int32 [batch, None], and how many symbols were left out."""
        ids = {"byte": self._bytes, "character": self._characters, "word": self._words}[
            self._tokenizer
        ](text)
        known = tf.ragged.boolean_mask(ids, ids >= 0)
        return known, lengths(ids) - lengths(known)

    def decode(self, ids: tf.RaggedTensor, before: tf.Tensor) -> tf.Tensor:
        """The text of ids, string [batch]; bytes that are no UTF-8 become replacement characters.

        Args:
            ids: int32 [batch, None].
            before: string [batch], the text before each; makes no difference here.
        """
        symbols = tf.ragged.map_flat_values(lambda flat: tf.gather(self.shown, flat), ids)
        if self._tokenizer == "word":
            joined = tf.strings.reduce_join(symbols, axis=-1, separator=" ")
            return tf.strings.regex_replace(joined, " ?\n ?", "\n")
        joined = tf.strings.reduce_join(symbols, axis=-1)
        return tf.strings.unicode_transcode(joined, "UTF-8", "UTF-8", errors="replace")

    def _bytes(self, text):
        split = tf.strings.bytes_split(text)
        values = tf.cast(tf.reshape(tf.io.decode_raw(split.flat_values, tf.uint8), [-1]), tf.int32)
        return split.with_flat_values(tf.gather(self._id_of_byte, values))

    def _characters(self, text):
        decoded = tf.strings.unicode_decode(text, "UTF-8", errors="replace")
        values = decoded.flat_values
        place = tf.minimum(tf.searchsorted(self._codes, values), self.size - 1)
        is_known = tf.equal(tf.gather(self._codes, place), values)
        return decoded.with_flat_values(tf.where(is_known, tf.gather(self._ids_by_code, place), -1))

    def _words(self, text):
        text = tf.strings.regex_replace(text, "\r\n?", "\n")
        text = tf.strings.regex_replace(text, "\n", f" {END_OF_LINE} ")
        words = tf.strings.split(tf.strings.regex_replace(text, _WHITE_SPACE, " "))
        return tf.ragged.map_flat_values(self._table.lookup, words)
