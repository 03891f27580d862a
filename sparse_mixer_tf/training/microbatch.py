"""A batch computed in parts: one after another, which saves memory, or at once.

`of_part(part, number) -> (sums, memory)` is what is done to a part: a structure of tensors that is
added up over the parts, and a list of none or one, whose rows belong to those of the part. What the
functions here return does the same to the whole batch, `of_batch(batch, number)`, and can be a part
of something larger in its turn.
"""

from collections.abc import Callable

import tensorflow as tf


def at_once(of_part: Callable, count: int) -> Callable:
    """`of_part` on `count` parts that do not wait for one another, traced once for all.

    The runtime writes it out for each part, in a fraction of the time that tracing takes.
    """
    return _written_out(tf.function(of_part, autograph=False), count, in_turn=False)


def one_by_one(of_part: Callable, count: int) -> Callable:
    """`of_part` on `count` parts, each of which waits for the one before."""
    return _written_out(of_part, count, in_turn=True)


def in_a_loop(of_part: Callable, count: int) -> Callable:
    """The same as `one_by_one`, traced once for all parts."""
    of_part = tf.function(of_part, autograph=False)

    def of_batch(batch, number):
        parts = cut(batch, count)

        def added(index, total, memory):
            rows = {name: tf.gather(x, index) for name, x in parts.items()}
            sums, new = of_part(rows, number * count + index)
            if total is not None:
                sums = tf.nest.map_structure(tf.add, total, sums)
            memory = [
                tf.tensor_scatter_nd_update(whole, [[index]], part[None])
                for whole, part in zip(memory, new, strict=True)
            ]
            return index + 1, sums, memory

        carried = [parts["memory"]] if "memory" in parts else []
        _, total, memory = tf.while_loop(
            lambda index, *_: index < count, added, added(tf.constant(0), None, carried)
        )
        return total, [tf.reshape(whole, batch["memory"].shape) for whole in memory]

    return of_batch


def cut(batch: dict, count: int) -> dict:
    """Each array of a batch, [rows, ...], as [count, rows / count, ...]."""
    return {
        name: tf.reshape(x, [count, x.shape[0] // count, *x.shape[1:]]) for name, x in batch.items()
    }


def _written_out(of_part: Callable, count: int, in_turn: bool) -> Callable:
    def of_batch(batch, number):
        parts, total, memory = cut(batch, count), None, []
        for index in range(count):
            waits_for = [] if total is None or not in_turn else tf.nest.flatten(total)
            with tf.control_dependencies(waits_for):
                rows = {name: tf.identity(x[index]) for name, x in parts.items()}
            # A tensor: for each other int, a function would be traced again.
            sums, new = of_part(rows, tf.convert_to_tensor(number * count + index))
            total = sums if total is None else tf.nest.map_structure(tf.add, total, sums)
            memory.append(new)
        return total, [tf.concat(rows, axis=0) for rows in zip(*memory, strict=True)]

    return of_batch
