"""Reading texts of any lengths into memory, and on from there, symbol by symbol."""

from collections.abc import Callable

import keras
import tensorflow as tf

# Long texts go in large blocks, what is left of them in small ones.
LARGE_BLOCK, SMALL_BLOCK = 256, 16


class CarriedReading:
    """A language model in a graph; each new symbol costs the same however long the text is.

    Rows of different lengths are read side by side, each as if it were alone: a row that has ended
    inside a block keeps the memory that it had at its end.

    Args:
        model: a `BrainformerCausalLM`.
    """

    def __init__(self, model: keras.Model):
        self._model, self._backbone = model, model.backbone
        span = self._backbone.attn_span
        # What is shifted in `_after` must still lie in one of the two memories.
        self._blocks = tuple(sorted({min(n, span) for n in (LARGE_BLOCK, SMALL_BLOCK)}))[::-1]

    def read(self, token_ids: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        """The memory behind the first tokens of each row.

        Args:
            token_ids: int32 [batch, length].
            lengths: int32 [batch], how many to read.

        Returns:
            [batch, num_memories, attn_span, d_model].
        """
        backbone = self._backbone
        shape = [backbone.num_memories, backbone.attn_span, backbone.d_model]
        batch, longest = tf.shape(token_ids)[0], tf.reduce_max(lengths)
        memory = tf.zeros([batch, *shape], backbone.compute_dtype)
        token_ids = tf.pad(token_ids, [[0, 0], [0, self._blocks[0]]])
        position = tf.constant(0)
        for number, block in enumerate(self._blocks):
            is_last = number == len(self._blocks) - 1
            reach = 1 if is_last else block

            def more(position, memory, reach=reach):
                return position + reach <= longest

            def step(position, memory, block=block):
                tokens = token_ids[:, position : position + block]
                tokens = tf.ensure_shape(tokens, [None, block])
                new = backbone({"token_ids": tokens, "memory": memory}, training=False)["memory"]
                count = tf.clip_by_value(lengths - position, 0, block)
                return position + block, _after(memory, new, count, block)

            position, memory = tf.while_loop(
                more,
                step,
                (position, memory),
                shape_invariants=(tf.TensorShape([]), tf.TensorShape([None, *shape])),
            )
        return memory

    def next(self, last: tf.Tensor, memory: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Logits of the symbol behind the last one, and the memory behind that.

        Args:
            last: int32 [batch].
            memory: of all symbols before it.

        Returns:
            float32 [batch, vocabulary_size] and memory.
        """
        inputs = {"token_ids": last[:, None], "memory": memory}
        outputs = self._model(inputs, training=False)
        return tf.cast(outputs["logits"][:, 0], tf.float32), outputs["memory"]

    def after(self, token_ids: tf.Tensor, lengths: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """What `next` gives behind whole texts, of at least one token each."""
        memory = self.read(token_ids, lengths - 1)
        return self.next(tf.gather(token_ids, lengths - 1, axis=1, batch_dims=1), memory)

    def write(
        self,
        logits: tf.Tensor,
        memory: tf.Tensor,
        length: tf.Tensor,
        choose: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    ) -> tf.Tensor:
        """Goes on writing.

        Args:
            logits, memory: of `after`.
            length: int32 scalar, symbols to write.
            choose: `(logits, number of the symbol) -> int32 [batch]`.

        Returns:
            int32 [batch, length].
        """
        written = tf.TensorArray(tf.int32, length, element_shape=[None])
        batch = tf.shape(logits)[0]

        def more(number, *_):
            return number < length

        def step(number, logits, memory, written):
            chosen = choose(logits, number)
            logits, memory = self.next(chosen, memory)
            return number + 1, logits, memory, written.write(number, chosen)

        *_, written = tf.while_loop(
            more,
            step,
            (tf.constant(0), logits, memory, written),
            shape_invariants=(
                tf.TensorShape([]),
                tf.TensorShape([None, logits.shape[1]]),
                tf.TensorShape([None, *memory.shape[1:]]),
                tf.TensorShape(None),
            ),
        )
        return tf.reshape(tf.transpose(written.stack()), [batch, length])


def _after(memory: tf.Tensor, new: tf.Tensor, count: tf.Tensor, block: int) -> tf.Tensor:
    """The memory of rows of which only the first `count` tokens of a block are theirs.

    Args:
        memory: before the block, [batch, num_memories, span, d_model].
        new: behind all of the block.
        count: int32 [batch].
        block: at most `span`.
    """
    span = memory.shape[2]
    place = count[:, None] + tf.range(span)
    # Behind a whole block the last rows of both are those of `new`.
    place = tf.where(place < span, place, span + place - block)
    return tf.gather(tf.concat([memory, new], axis=2), place, axis=2, batch_dims=1)
