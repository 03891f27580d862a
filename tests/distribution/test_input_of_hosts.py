"""Each host makes its rows of a batch, and reads nothing for the rows of the others."""

import threading

import numpy as np
import pytest

from pipelines.datasets import pretraining
from pipelines.examples import collate
from sparse_mixer_tf.training.distributed.input import replica_batches
from tests.pipelines.conftest import corpus, settings, store  # noqa: F401

KINDS = ("pretrain", "classify", "causal_lm")


def _batches(stream, count):
    return list(stream.take(count).as_numpy_iterator())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("held_out", [False, True])
def test_the_rows_of_all_hosts_are_the_batch(open_task, kind, held_out):
    task = open_task(kind)

    def stream(**host):
        return task.evaluation_stream(3, **host) if held_out else task.train_stream(5, **host)

    whole = _batches(stream(), 3)
    hosts = [_batches(stream(host_index=h, num_hosts=2), len(whole)) for h in range(2)]
    assert whole
    for expected, *parts in zip(whole, *hosts, strict=True):
        assert len({len(part["token_ids"]) for part in parts}) == 1
        for name, array in expected.items():
            np.testing.assert_array_equal(np.concatenate([p[name] for p in parts]), array, name)


@pytest.mark.parametrize("kind", KINDS)
def test_replicas_of_hosts_get_the_rows_of_one_host_of_as_many_replicas(open_task, kind):
    task = open_task(kind)

    def parts(hosts, replicas):
        streams = [task.train_stream(0, host_index=h, num_hosts=hosts) for h in range(hosts)]
        cut = [_batches(replica_batches(s, replicas), replicas) for s in streams]
        return [part["token_ids"] for of_host in cut for part in of_host]

    np.testing.assert_array_equal(parts(hosts=2, replicas=1), parts(hosts=1, replicas=2))


@pytest.fixture
def tokens_read(monkeypatch):
    """Positions in the store that were read since `clear`."""
    read, seen, lock = collate._read, set(), threading.Lock()

    def recorded(shards, runs):
        with lock:
            for shard, start, length in zip(runs.shard, runs.start, runs.length, strict=True):
                seen.update((int(shard), token) for token in range(start, start + length))
        return read(shards, runs)

    monkeypatch.setattr(collate, "_read", recorded)
    return seen


def test_no_host_reads_a_token_of_another_host(store, settings, tokens_read):  # noqa: F811
    # Without the last batch, whose rows behind the end repeat an example with weight zero.
    full = pretraining.num_examples(store, settings, "validation") // 8

    def read(**host):
        tokens_read.clear()
        for _ in pretraining.evaluation_stream(store, settings, 8, full, **host):
            pass
        return set(tokens_read)

    whole = read()
    hosts = [read(host_index=host, num_hosts=4) for host in range(4)]
    assert full > 1 and set().union(*hosts) == whole
    assert sum(map(len, hosts)) == len(whole)
