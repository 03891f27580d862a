"""A model run over held-out data while its experts and its attention are looked at."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from sparse_mixer_tf.layers import observe_assignments, observe_attention
from sparse_mixer_tf.tasks.base import Task
from sparse_mixer_tf.tasks.model_factory import by_use, model_inputs
from sparse_mixer_tf.training.recurrent_state import with_memory

# Enough that the hundred most frequent pieces come to every expert; seconds for a small model.
TOKENS, TOKENS_AT_ONCE = 32_768, 4_096


class Look(NamedTuple):
    """Routing and attention of one batch.

    Attributes:
        token_ids: int [batch, seq].
        real: bool [batch, seq], false on padding.
        gates: by layer float [batch, seq, num_experts], above 0 where an expert took a token.
        example: the row with most tokens.
        attention: by layer, float: of bidirectional attention that of the example
            [heads, seq, seq]; of relative attention means over the batch [heads, span], the
            nearest token last.
    """

    token_ids: np.ndarray
    real: np.ndarray
    gates: dict[str, np.ndarray]
    example: int
    attention: dict[str, np.ndarray]


def looks(task: Task, opened: Task, tokens: int = TOKENS) -> Iterator[Look]:
    """Runs the model over about so many tokens, a small batch at a time.

    Memory of a language model is carried, and filled before anything is yielded where the text is
    long enough.

    Args:
        task: built, with weights.
        opened: the same one, or another of the same settings, with its data open.
        tokens: padding counted; of a language model those that fill memory come on top.
    """
    causal = task.initial_memory is not None
    memory, to_skip, last_skipped = None, 0, None

    @tf.function(autograph=False)
    def run(inputs, example):
        with observe_assignments() as gates, observe_attention() as attention:
            outputs = task.model(inputs, training=False)
        carried = outputs["memory"] if causal else None
        reduced = {
            n: _reduced(p, None if causal else example) for n, p in by_use(attention).items()
        }
        return by_use(gates), reduced, carried

    for batch in _batches(opened, _blocks_to_fill(task), tokens):
        if causal:
            if memory is None:
                memory = task.initial_memory(len(batch["token_ids"]))
                to_skip = _blocks_to_fill(task)
            batch = with_memory(batch, memory)
        real = np.asarray(batch["target_weights"] > 0 if causal else batch["padding_mask"])
        example = int(real.sum(-1).argmax())
        inputs = model_inputs(task.model, batch)
        gates, attention, memory = run(inputs, tf.constant(example))
        seen = Look(
            batch["token_ids"],
            real,
            {name: value.numpy() for name, value in gates.items()},
            example,
            {name: value.numpy() for name, value in attention.items()},
        )
        if to_skip > 0:
            to_skip, last_skipped = to_skip - 1, seen
            continue
        last_skipped = None
        yield seen
    if last_skipped is not None:
        # The text ended before memory was full: better the last of it than nothing.
        yield last_skipped


def _batches(opened: Task, more: int, tokens: int) -> Iterator[dict]:
    """Numpy batches of no more tokens than are run at once, and so many `more` of them."""
    rows = max(1, TOKENS_AT_ONCE // opened.tokens_per_row)
    rows = min(rows, opened.settings.eval_batch_size)
    count = -(-tokens // (rows * opened.tokens_per_row)) + more
    for batch in opened.evaluation_stream(count):
        yield {name: value.numpy()[:rows] for name, value in batch.items()}


def _blocks_to_fill(task: Task) -> int:
    """Blocks after which the memory of a language model holds nothing but text."""
    if task.initial_memory is None:
        return 0
    return -(-task.model.backbone.attn_span // task.tokens_per_row)


def _reduced(probabilities, example):
    """Attention of one example [heads, seq, seq]; without, means over the batch [heads, span]."""
    if example is None:
        return tf.reduce_mean(probabilities, axis=(0, 2))
    return probabilities[example]
