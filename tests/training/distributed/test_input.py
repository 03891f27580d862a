import threading
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from sparse_mixer_tf.training.distributed.cluster import Cluster
from sparse_mixer_tf.training.distributed.input import (
    FromThisProcess,
    distributed,
    one_ahead,
    replica_batches,
)
from sparse_mixer_tf.training.distributed.strategy import mirrored


def _stream(batch=8, batches=3):
    rows = np.arange(batch * batches * 2).reshape(batches, batch, 2)
    return rows, tf.data.Dataset.from_tensor_slices({"x": rows, "row": rows[..., 0]})


@pytest.mark.parametrize(
    "feed", [lambda *given: distributed(*given, Cluster()), FromThisProcess], ids=["there", "here"]
)
def test_replicas_of_one_process_get_consecutive_rows(feed):
    rows, stream = _stream()
    strategy = mirrored(("CPU:0", "CPU:1"))
    for batch, expected in zip(feed(stream, strategy), rows, strict=True):
        parts = [part.numpy() for part in strategy.experimental_local_results(batch["x"])]
        np.testing.assert_array_equal(np.concatenate(parts), expected)
        assert [len(part) for part in parts] == [4, 4]


@pytest.mark.parametrize("replicas", [1, 2, 4])
def test_replicas_of_one_of_several_processes_get_its_rows_in_their_order(replicas):
    rows, stream = _stream()
    parts = list(replica_batches(stream, replicas))
    for number, batch in enumerate(rows):
        here = slice(number * replicas, (number + 1) * replicas)
        pieces = [part["x"].numpy() for part in parts[here]]
        np.testing.assert_array_equal(np.concatenate(pieces), batch)
        assert {len(piece) for piece in pieces} == {8 // replicas}


def test_what_replicas_get_has_a_fixed_shape():
    _, stream = _stream()
    spec = replica_batches(stream, 4).element_spec
    assert spec["x"].shape == (2, 2) and spec["row"].shape == (2,)


def test_one_process_fetches_a_batch_while_the_one_before_is_in_use():
    asked = [threading.Event() for _ in range(3)]

    def numbers():
        for number, event in enumerate(asked):
            event.set()
            yield number

    stream = tf.data.Dataset.from_generator(numbers, output_signature=tf.TensorSpec((), tf.int32))
    batches = distributed(stream, tf.distribute.get_strategy(), Cluster())
    assert int(next(batches)) == 0
    assert asked[1].wait(10)
    assert not asked[2].is_set()


def test_several_processes_fetch_nothing_ahead():
    dataset = object()
    strategy = SimpleNamespace(
        num_replicas_in_sync=2, distribute_datasets_from_function=lambda of_input: dataset
    )
    assert distributed(_stream()[1], strategy, Cluster(0, 2)) is dataset


def test_all_items_come_in_their_order():
    assert list(one_ahead(range(100))) == list(range(100))
    assert list(one_ahead([])) == []
    assert list(one_ahead([None, None])) == [None, None]


def test_an_item_is_fetched_while_the_one_before_is_in_use_and_no_earlier():
    asked = [threading.Event() for _ in range(4)]

    def items():
        for number, event in enumerate(asked):
            event.set()
            yield number

    ahead = one_ahead(items())
    assert asked[0].wait(10)
    assert not asked[1].is_set()
    assert next(ahead) == 0
    assert asked[1].wait(10)
    assert not asked[2].is_set()
    assert next(ahead) == 1
    assert asked[2].wait(10)
    assert not asked[3].is_set()


def test_an_error_is_raised_behind_the_items_before_it():
    def items():
        yield 1
        yield 2
        raise OSError("no more disk")

    ahead = one_ahead(items())
    assert [next(ahead), next(ahead)] == [1, 2]
    with pytest.raises(OSError, match="no more disk"):
        next(ahead)


def test_whoever_stops_early_leaves_no_thread():
    ahead = one_ahead(range(100))
    next(ahead)
    assert any(thread.name.startswith("one_ahead") for thread in threading.enumerate())
    ahead.close()
    assert not any(thread.name.startswith("one_ahead") for thread in threading.enumerate())
