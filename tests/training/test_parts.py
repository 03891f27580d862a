"""Which parts of a batch wait for one another; that they add up is in test_step and test_memory."""

import pytest
import tensorflow as tf

from sparse_mixer_tf.training import parts

ROWS = tf.reshape(tf.range(12.0), [6, 2])


def _of_part(seen: list):
    def of_part(batch, number):
        seen.append((number, batch["x"].shape.as_list()))
        return {"sum": tf.reduce_sum(batch["x"], name="part")}, [batch["x"]]

    return of_part


def _sums_and_ancestors(cut) -> list[tuple[str, set]]:
    """The operation that sums up each part, with all that it needs, in the order of the parts."""
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

    sums = [operation for operation in operations if operation.name.startswith("part")]
    return [(s.name, ancestors(s)) for s in sums if s.type == "Sum"]


@pytest.mark.parametrize(("way", "waits"), [(parts.at_once, False), (parts.one_by_one, True)])
def test_parts_wait_for_one_another_or_do_not(way, waits):
    seen = []
    sums = _sums_and_ancestors(way(_of_part(seen), 3))
    assert seen == [(0, [2, 2]), (1, [2, 2]), (2, [2, 2])]
    assert len(sums) == 3
    for index, (name, _) in enumerate(sums):
        for _, needed in sums[index + 1 :]:
            assert (name in needed) == waits


@pytest.mark.parametrize("way", [parts.at_once, parts.one_by_one, parts.in_a_loop])
def test_sums_are_added_up_and_rows_keep_their_order(way):
    batch = {"x": ROWS, "memory": ROWS}
    run = tf.function(lambda: way(_of_part([]), 3)(batch, 0), autograph=False)
    sums, (rows,) = run()
    assert float(sums["sum"]) == 66
    assert rows.numpy().tolist() == ROWS.numpy().tolist()


def test_parts_of_parts_are_numbered_through():
    seen = []
    parts.one_by_one(parts.at_once(_of_part(seen), 3), 2)({"x": ROWS}, 0)
    assert seen == [(number, [1, 2]) for number in range(6)]
