"""Adding up what a model does on held-out data."""

from collections.abc import Iterable

import numpy as np
import tensorflow as tf

from sparse_mixer_tf.training.step import EvaluationStep


def evaluation_sums(batches: Iterable, step: EvaluationStep) -> dict:
    """Sums over all batches, in float64, so that their number does not matter.

    Args:
        step: its sums are nested as the task likes.
    """
    step.begin()
    total = None
    for batch in batches:
        sums = tf.nest.map_structure(lambda x: np.asarray(x, "float64"), step(batch))
        total = sums if total is None else tf.nest.map_structure(np.add, total, sums)
    if total is None:
        raise ValueError("there is no held-out batch; lower --eval_batch_size")
    return total
