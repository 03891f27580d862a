"""SentencePiece ids of running text inside the graph, as `pipelines.tokenizers.sentencepiece_model` makes them."""

import tensorflow as tf
import tensorflow_text as tf_text

from pipelines.tokenizers.sentencepiece_model import WORD_BEGINS, Pieces, Vocabulary, plain_text
from sparse_mixer_tf.serving.graph_tokenizer import graph_tokenizer


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
