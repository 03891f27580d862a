"""Raw texts to packed rows inside the graph: what `pipelines` does in Python, to the same ids."""

from collections.abc import Sequence

import tensorflow as tf

from pipelines.tokenizers.sentencepiece_model import Vocabulary, plain_text
from sparse_mixer_tf.serving.ops.ragged import first, lengths
from sparse_mixer_tf.serving.ops.tokenizers import graph_tokenizer
from sparse_mixer_tf.tasks.mask_filling import MASK


class Packer:
    """Tokenises and packs texts; special pieces spelled in a text are letters like others.

    Args:
        vocabulary: of the ids.
        max_seq_length: width of the rows.
        truncation: "longest" or "right", see `pipelines.examples.collate`.

    Attributes:
        tokenizer: must be tracked by what is saved.
    """

    def __init__(self, vocabulary: Vocabulary, max_seq_length: int, truncation: str = "longest"):
        self._words, self._seq, self._truncation = vocabulary, max_seq_length, truncation
        self.tokenizer = graph_tokenizer(plain_text(vocabulary))

    def pack(self, texts: Sequence[tf.Tensor]) -> dict[str, tf.Tensor]:
        """The rows of segments: [CLS] segment [SEP] segment [SEP] ….

        Args:
            texts: of each segment, string [batch].

        Returns:
            `token_ids`, `segment_ids` int32 and `padding_mask` bool, all [batch, max_seq_length].
        """
        pieces = [self.tokenizer.tokenize(text) for text in texts]
        kept = self._kept(tf.stack([lengths(piece) for piece in pieces], axis=1))
        ids, numbers = [self._column(texts[0], self._words.cls_id)], []
        for number, piece in enumerate(pieces):
            whole = tf.concat(
                [first(piece, kept[:, number]), self._column(texts[0], self._words.sep_id)], axis=1
            )
            ids.append(whole)
            numbers.append(tf.ones_like(whole) * number)
        numbers = [tf.zeros_like(ids[0]), *numbers]
        return self._rows(tf.concat(ids, axis=1), tf.concat(numbers, axis=1))

    def pack_masked(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        """The rows of texts in which `[MASK]` stands for a word: [CLS] text [SEP].

        Args:
            text: string [batch].

        Returns:
            As `pack`.
        """
        parts = self.tokenizer.tokenize(tf.strings.split(text, MASK))
        each_ends = tf.expand_dims(tf.ones_like(parts.row_lengths(axis=2)), 2)
        each_ends = tf.cast(each_ends, tf.int32) * self._words.mask_id
        ids = tf.concat([parts, each_ends], axis=2).merge_dims(1, 2)
        # One mask less than parts, and as many pieces as fit between [CLS] and [SEP].
        ids = first(ids, tf.minimum(lengths(ids) - 1, self._seq - 2))
        cls, sep = self._column(text, self._words.cls_id), self._column(text, self._words.sep_id)
        ids = tf.concat([cls, ids, sep], axis=1)
        return self._rows(ids, tf.zeros_like(ids))

    def mask_slots(self, token_ids: tf.Tensor, predictions: int) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the positions of the first masks of each row.

        Args:
            token_ids: int32 [batch, seq].
            predictions: slots of a row.

        Returns:
            Positions int32 and whether there is a mask, bool, both [batch, predictions].
        """
        columns = tf.range(self._seq)
        places = tf.where(tf.equal(token_ids, self._words.mask_id), columns, self._seq)
        places = tf.sort(places, axis=1)[:, :predictions]
        real = places < self._seq
        return tf.where(real, places, 0), real

    def _kept(self, sizes: tf.Tensor) -> tf.Tensor:
        """Return the tokens of each segment that stay; int32 [batch, segments]."""
        segments = sizes.shape[1]
        if self._truncation == "right":
            starts = tf.cumsum(sizes + 1, axis=1, exclusive=True)
            return tf.minimum(tf.maximum(self._seq - 1 - starts, 0), sizes)
        order = tf.argsort(sizes, axis=1, stable=True)
        ascending = tf.gather(sizes, order, batch_dims=1)
        left = tf.zeros_like(sizes[:, 0]) + (self._seq - 1 - segments)
        taken = []
        # From the shortest: each takes what it needs, at most an even share of what is left.
        for rank in range(segments):
            taken.append(tf.minimum(ascending[:, rank], left // (segments - rank)))
            left -= taken[-1]
        back = tf.argsort(order, axis=1)
        return tf.gather(tf.stack(taken, axis=1), back, batch_dims=1)

    def _column(self, like: tf.Tensor, value: int) -> tf.Tensor:
        return tf.fill([tf.shape(like)[0], 1], value)

    def _rows(self, ids: tf.RaggedTensor, numbers: tf.RaggedTensor) -> dict[str, tf.Tensor]:
        shape = [None, self._seq]
        return {
            "token_ids": ids.to_tensor(self._words.pad_id, shape=shape),
            "segment_ids": numbers.to_tensor(0, shape=shape),
            "padding_mask": tf.range(self._seq) < lengths(ids)[:, None],
        }
