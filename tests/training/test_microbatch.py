"""Parts of a batch that wait for one another; their sums are in test_train_step."""

import pytest
import tensorflow as tf

from sparse_mixer_tf.training import microbatch

ROWS = tf.reshape(tf.range(12.0), [6, 2])


def _of_part(weight=1.0, seen=None):
    """The sum of a part's rows, and the rows with 100 times the number of their part added."""

    def of_part(batch, number):
        x = batch["x"]
        if seen is not None:
            seen.append(x.shape.as_list())
        numbered = x + 100 * tf.cast(number, x.dtype)
        return {"sum": weight * tf.reduce_sum(x, name="part")}, [numbered]

    return of_part


def _parts_and_ancestors(cut, kinds: tuple) -> list[tuple[str, set]]:
    """Each part's operation of one of these kinds, with all that it needs, in their order."""
    run = tf.function(lambda x: cut({"x": x}, 0), autograph=False)
    operations = run.get_concrete_function(ROWS).graph.get_operations()

    def ancestors(operation):
        found, ahead = set(), [operation]
        while ahead:
            now = ahead.pop()
            for before in [*(tensor.op for tensor in now.inputs), *now.control_inputs]:
                if before.name not in found:
                    found.add(before.name)
                    ahead.append(before)
        return found

    return [(s.name, ancestors(s)) for s in operations if s.type in kinds]


@pytest.mark.parametrize(
    ("way", "kinds", "traced", "waits"),
    [
        (microbatch.at_once, ("PartitionedCall", "StatefulPartitionedCall"), 1, False),
        (microbatch.one_by_one, ("Sum",), 3, True),
    ],
)
def test_parts_wait_for_one_another_or_do_not(way, kinds, traced, waits):
    seen, weight = [], tf.Variable(2.0)
    # Reading a variable has an order, which must not become one of the parts.
    found = _parts_and_ancestors(way(_of_part(weight, seen), 3), kinds)
    assert seen == traced * [[2, 2]]
    assert len(found) == 3
    for index, (name, _) in enumerate(found):
        for _, needed in found[index + 1 :]:
            assert (name in needed) == waits


@pytest.mark.parametrize("way", [microbatch.at_once, microbatch.one_by_one, microbatch.in_a_loop])
def test_sums_are_added_up_and_rows_keep_their_order(way):
    batch = {"x": ROWS, "memory": ROWS}
    run = tf.function(lambda: way(_of_part(), 3)(batch, 0), autograph=False)
    sums, (rows,) = run()
    assert float(sums["sum"]) == 66
    numbers = tf.constant([[0], [0], [1], [1], [2], [2]], "float32")
    assert rows.numpy().tolist() == (ROWS + 100 * numbers).numpy().tolist()


def test_parts_of_parts_are_numbered_through():
    _, (rows,) = microbatch.one_by_one(microbatch.at_once(_of_part(), 3), 2)({"x": ROWS}, 0)
    numbers = tf.constant([[0], [1], [2], [3], [4], [5]], "float32")
    assert rows.numpy().tolist() == (ROWS + 100 * numbers).numpy().tolist()
