import numpy as np

from pipelines.assembly import Runs, assemble, lookup
from pipelines.store.shards import Shard


def shards():
    ends = np.array([50, 100], np.uint32)
    return [Shard(np.arange(base, base + 100, dtype=np.uint16), ends, ends) for base in (5, 105)]


def test_runs_are_framed_by_special_pieces_and_padded(store):
    words = store.vocabulary
    runs = Runs(
        row=np.array([0, 0, 1, 2, 2, 2]),
        shard=np.zeros(6, int),
        start=np.array([0, 10, 20, 30, 40, 50]),
        length=np.array([2, 3, 6, 1, 1, 2]),
    )
    rows = assemble(shards()[:1], runs, 3, 10, words)
    cls, sep, pad = words.cls_id, words.sep_id, words.pad_id
    assert rows.token_ids.tolist() == [
        [cls, 5, 6, sep, 15, 16, 17, sep, pad, pad],
        [cls, 25, 26, 27, 28, 29, 30, sep, pad, pad],
        [cls, 35, sep, 45, sep, 55, 56, sep, pad, pad],
    ]
    assert rows.run_ids.tolist() == [
        [0, 0, 0, 0, 1, 1, 1, 1, 0, 0],
        [0] * 10,
        [0, 0, 0, 1, 1, 2, 2, 2, 0, 0],
    ]
    assert rows.lengths.tolist() == [8, 8, 8]


def test_runs_of_several_shards_meet_in_one_batch(store):
    runs = Runs(np.array([0, 0, 1]), np.array([1, 0, 1]), np.array([3, 3, 99]), np.array([2, 2, 1]))
    rows = assemble(shards(), runs, 2, 8, store.vocabulary)
    assert rows.token_ids[:, 1:6].tolist() == [[108, 109, 3, 8, 9], [204, 3, 0, 0, 0]]


def test_lookup_reads_each_element_from_its_own_shard():
    shard, index = np.array([1, 0, 1]), np.array([0, 99, 99])
    assert lookup(shards(), "tokens", shard, index).tolist() == [105, 104, 204]
