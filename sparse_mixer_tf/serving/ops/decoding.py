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
        backbone = model.backbone
        span = backbone.attn_span
        # What is shifted in `_after` must still lie in one of the two memories.
        self._blocks = tuple(sorted({min(n, span) for n in (LARGE_BLOCK, SMALL_BLOCK)}))[::-1]
        shape = [None, backbone.num_memories, span, backbone.d_model]
        self._memory = tf.TensorSpec(shape, backbone.compute_dtype)

        def read_block(token_ids, memory):
            inputs = {"token_ids": token_ids, "memory": memory}
            return backbone(inputs, training=False)["memory"]

        def next_logits(last, memory):
            inputs = {"token_ids": last[:, None], "memory": memory}
            outputs = model(inputs, training=False)
            return tf.cast(outputs["logits"][:, 0], tf.float32), outputs["memory"]

        # Functions of their own, so that the model stands in a graph once and not at each use.
        self._read_block = {block: self._function(read_block, block) for block in self._blocks}
        self._next = self._function(next_logits)

    def _function(self, call: Callable, *width: int):
        tokens = tf.TensorSpec([None, *width], tf.int32)
        return tf.function(call, input_signature=[tokens, self._memory], autograph=False)

    def read(self, token_ids: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        """The memory behind the first tokens of each row.

        Args:
            token_ids: int32 [batch, length].
            lengths: int32 [batch], how many to read.

        Returns:
            [batch, num_memories, attn_span, d_model].
        """
        batch, longest = tf.shape(token_ids)[0], tf.reduce_max(lengths)
        memory = tf.zeros([batch, *self._memory.shape[1:]], self._memory.dtype)
        token_ids = tf.pad(token_ids, [[0, 0], [0, self._blocks[0]]])
        position = tf.constant(0)
        for number, block in enumerate(self._blocks):
            is_last = number == len(self._blocks) - 1
            reach = 1 if is_last else block

            def more(position, memory, reach=reach):
                return position + reach <= longest

            def step(position, memory, block=block):
                tokens = token_ids[:, position : position + block]
                new = self._read_block[block](tf.ensure_shape(tokens, [None, block]), memory)
                count = tf.clip_by_value(lengths - position, 0, block)
                return position + block, _after(memory, new, count, block)

            position, memory = tf.while_loop(
                more,
                step,
                (position, memory),
                shape_invariants=(tf.TensorShape([]), self._memory.shape),
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
        return self._next(last, memory)

    def after(self, token_ids: tf.Tensor, lengths: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the result of `next` for the symbol after whole texts of at least one token."""
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
        # Not even an empty list could be stacked; what is written in vain is cut off below.
        steps, batch = tf.maximum(length, 1), tf.shape(logits)[0]
        written = tf.TensorArray(tf.int32, steps, element_shape=[None])

        def more(number, *_):
            return number < steps

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
                self._memory.shape,
                tf.TensorShape(None),
            ),
        )
        return tf.reshape(tf.transpose(written.stack()), [batch, steps])[:, :length]


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
