"""Batches that are a function of their number, as tf.data."""

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from pipelines.errors import InputError
from pipelines.schema import ArraySpec

if TYPE_CHECKING:
    import tensorflow as tf

_WORKERS = min(4, os.cpu_count() or 1)


def host_rows(batch_size: int, host_index: int, num_hosts: int) -> range:
    """The rows of every global batch that one host makes.

    Raises:
        InputError: the hosts do not divide the batch.
    """
    if batch_size % num_hosts:
        lower = batch_size - batch_size % num_hosts
        raise InputError(
            f"a batch of {batch_size} is not divisible by {num_hosts} hosts; use "
            f"{lower or num_hosts} or {lower + num_hosts}"
        )
    share = batch_size // num_hosts
    return range(host_index * share, (host_index + 1) * share)


def stream(
    make: Callable[[int], dict[str, np.ndarray]],
    numbers: range,
    specs: Mapping[str, ArraySpec],
) -> "tf.data.Dataset":
    """`make(number)` for each number in order, made ahead of time on a few threads.

    Args:
        make: a pure function from the number of a batch to its arrays.
        numbers: which batches.
        specs: names, shapes and dtypes of the arrays.
    """
    import tensorflow as tf

    def arrays(number: np.ndarray) -> list[np.ndarray]:
        batch = make(int(number))
        return [batch[name] for name in specs]

    def tensors(number: tf.Tensor) -> dict[str, tf.Tensor]:
        types = [tf.as_dtype(spec.dtype) for spec in specs.values()]
        values = tf.numpy_function(arrays, [number], types, stateful=False)
        for value, spec in zip(values, specs.values(), strict=True):
            value.set_shape(spec.shape)
        return dict(zip(specs, values, strict=True))

    steps = tf.data.Dataset.range(numbers.start, numbers.stop)
    batches = steps.map(tensors, num_parallel_calls=_WORKERS, deterministic=True)
    return batches.prefetch(2)
