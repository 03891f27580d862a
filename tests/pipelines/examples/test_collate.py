import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipelines.examples import collate
from pipelines.examples.collate import Runs, assemble, lookup
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


lengths = st.lists(st.lists(st.integers(0, 30), min_size=3, max_size=3), min_size=1, max_size=6)


def _one_token_at_a_time(row: list[int], budget: int) -> list[int]:
    row = list(row)
    while sum(row) > budget:
        row[int(np.argmax(row))] -= 1
    return row


@given(lengths, st.integers(3, 60))
def test_the_longest_segment_is_cut_first(rows, budget):
    kept = collate.longest_first(np.array(rows), budget)
    for row, found in zip(rows, kept, strict=True):
        # Where two are equally long, which of them loses a token more is a matter of taste.
        assert sorted(found) == sorted(_one_token_at_a_time(row, budget))
        assert all(found <= row)


@given(lengths, st.integers(1, 60))
def test_the_right_end_of_the_concatenation_is_cut(rows, budget):
    kept = collate.from_right(np.array(rows), budget)
    for row, found in zip(rows, kept, strict=True):
        joined = [n for n, size in enumerate(row) for n in [n] * size + [-1]][:budget]
        assert [joined.count(n) for n in range(3)] == found.tolist()
