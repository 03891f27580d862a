"""Choosing the next symbol, each row by its own numbers alone."""

from typing import NamedTuple

import tensorflow as tf


class Choice(NamedTuple):
    """Sampling parameters, one value a row.

    Attributes:
        temperature: float32 [batch]; below 1 likely symbols are favoured, 0 takes the likeliest.
        top_k: int32 [batch]; how many symbols are chosen among; all where 0 or less.
        top_p: float32 [batch]; how much probability; all where 0 or less, or 1.
    """

    temperature: tf.Tensor
    top_k: tf.Tensor
    top_p: tf.Tensor


def draws(seeds: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
    """Random numbers in [0, 1): a row is a function of its seed alone.

    Args:
        seeds: int32 [batch].
        length: int32 scalar.

    Returns:
        float32 [batch, length].
    """

    def row(seed):
        return tf.random.stateless_uniform([length], tf.stack([seed, 0]), alg="philox")

    return tf.map_fn(row, seeds, fn_output_signature=tf.TensorSpec([None], tf.float32))


def choose(logits: tf.Tensor, draw: tf.Tensor, choice: Choice) -> tf.Tensor:
    """One symbol a row.

    Args:
        logits: float32 [batch, vocabulary_size].
        draw: float32 [batch] in [0, 1).
        choice: how.

    Returns:
        int32 [batch].
    """
    size = logits.shape[-1]
    greedy = choice.temperature <= 0
    temperature = tf.where(greedy, 1.0, choice.temperature)
    shares, order = tf.math.top_k(tf.nn.softmax(logits / temperature[:, None]), size)
    most = tf.where(choice.top_k > 0, choice.top_k, size)
    most = tf.where(greedy, 1, most)
    within = (choice.top_p > 0) & (choice.top_p < 1)
    mass = tf.where(within, choice.top_p, 2.0)
    before = tf.cumsum(shares, axis=-1, exclusive=True)
    kept = (tf.range(size) < most[:, None]) & (before < mass[:, None])
    sums = tf.cumsum(tf.where(kept, shares, 0.0), axis=-1)
    passed = tf.reduce_sum(tf.cast(sums <= draw[:, None] * sums[:, -1:], tf.int32), axis=-1)
    last = tf.reduce_sum(tf.cast(kept, tf.int32), axis=-1) - 1
    return tf.gather(order, tf.minimum(passed, last), axis=1, batch_dims=1)
