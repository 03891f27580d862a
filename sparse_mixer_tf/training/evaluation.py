"""Adding up what a model does on held-out data."""

from collections.abc import Callable, Iterable

import numpy as np
import tensorflow as tf


def evaluation_sums(batches: Iterable, step: Callable) -> dict:
    """Sums over all batches, in float64, so that their number does not matter.

    Args:
        step: `batch -> dict of sums`, nested as the task likes.
    """
    total = None
    for batch in batches:
        sums = tf.nest.map_structure(lambda x: np.asarray(x, "float64"), step(batch))
        total = sums if total is None else tf.nest.map_structure(np.add, total, sums)
    if total is None:
        raise ValueError("there is no held-out batch; lower --eval_batch_size")
    return total
