import dataclasses
import itertools

import numpy as np
import pytest

from pipelines.datasets import pretraining
from pipelines.errors import InputError
from tests.long_cases import long_cases

BATCH, STEPS = 16, 1000


def equal(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[k], other[k]) for k in one)


def take(stream, number):
    return list(itertools.islice(stream.as_numpy_iterator(), number))


def joined(parts):
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


@pytest.fixture(scope="module")
def batches(store, settings):
    """The first batches, which is many epochs."""
    return take(pretraining.train_stream(store, settings, BATCH, seed=7), STEPS)


def test_the_stream_is_the_pure_function_of_seed_and_step(store, settings, batches):
    for step, batch in enumerate(batches):
        assert equal(batch, pretraining.batch_at(store, settings, 7, step, BATCH))


@pytest.mark.parametrize("start", [370, *long_cases(1, 999)])
def test_a_stream_that_starts_later_goes_on_as_the_whole_one(store, settings, batches, start):
    stream = pretraining.train_stream(store, settings, BATCH, seed=7, start_step=start)
    for batch, expected in zip(take(stream, STEPS - start), batches[start:], strict=True):
        assert equal(batch, expected)


def test_another_seed_gives_another_order_other_pairs_and_other_masks(store, settings, batches):
    others = take(pretraining.train_stream(store, settings, BATCH, seed=8), 20)
    one, other = joined(batches[:20]), joined(others)
    assert np.mean((one["token_ids"] == other["token_ids"]).all(axis=1)) < 0.02
    assert np.mean(one["mask_positions"] == other["mask_positions"]) < 0.2
    assert 0.4 < np.mean(one["order_labels"] == other["order_labels"]) < 0.6


@pytest.mark.parametrize("hosts", [1, 2, 4])
def test_any_number_of_hosts_makes_the_same_batches(store, settings, batches, hosts):
    streams = [
        take(pretraining.train_stream(store, settings, BATCH, 7, 0, host, hosts), 10)
        for host in range(hosts)
    ]
    for parts, expected in zip(zip(*streams, strict=True), batches[:10], strict=True):
        assert equal(joined(parts), expected)


def test_hosts_that_do_not_divide_the_batch_are_refused(store, settings):
    with pytest.raises(InputError, match="batch of 16 .* 3 hosts; use 15 or 18"):
        pretraining.train_stream(store, settings, BATCH, 0, num_hosts=3)


def signatures(store, settings, seed, positions):
    """Return the tokens of each position of the stream, masks undone."""
    batch = pretraining.batch_at(store, settings, seed, 0, positions)
    ids = batch["token_ids"].copy()
    rows, slots = np.nonzero(batch["mask_weights"])
    ids[rows, batch["mask_positions"][rows, slots]] = batch["mask_ids"][rows, slots]
    return batch, [tuple(row) for row in ids.tolist()]


def test_an_epoch_meets_every_example_once_and_the_next_one_in_another_order(store, settings):
    windows = dataclasses.replace(settings, pair_objective="none")
    size = pretraining.num_examples(store, windows, "train")
    batch, rows = signatures(store, windows, 3, 2 * size)
    assert sorted(rows[:size]) == sorted(rows[size:])
    assert len(set(rows[:size])) > 0.95 * size
    assert np.mean([a == b for a, b in zip(rows[:size], rows[size:], strict=True)]) < 0.05
    first = dict(zip(rows[:size], batch["mask_positions"][:size].tolist(), strict=True))
    same_masks = [
        first[row] == positions
        for row, positions in zip(rows[size:], batch["mask_positions"][size:].tolist(), strict=True)
    ]
    assert np.mean(same_masks) < 0.05


def test_rows_are_the_sentences_of_one_document(store, settings):
    words = store.vocabulary
    batch, rows = signatures(store, settings, 0, 64)
    shard = store.splits["train"][0]
    text = " ".join(map(str, shard.tokens.tolist()))
    for row, label, segments in zip(rows, batch["order_labels"], batch["segment_ids"], strict=True):
        first, second = [k for k, token in enumerate(row) if token == words.sep_id]
        assert row[0] == words.cls_id
        assert set(row[second + 1 :]) <= {words.pad_id}
        a, b = list(row[1:first]), list(row[first + 1 : second])
        assert " ".join(map(str, a + b if label else b + a)) in text
        expected = [0] * (first + 1) + [1] * (second - first) + [0] * (63 - second)
        assert segments.tolist() == expected


def test_padding_is_masked_out_and_nothing_else(store, settings, batches):
    for batch in batches[:10]:
        assert np.array_equal(batch["padding_mask"], batch["token_ids"] != store.vocabulary.pad_id)


def test_evaluation_shows_every_held_out_example_once_with_fixed_masks(store, settings):
    size = pretraining.num_examples(store, settings, "validation")
    once, again = (
        list(pretraining.evaluation_stream(store, settings, 7).as_numpy_iterator()) for _ in "12"
    )
    assert len(once) == -(-size // 7)
    assert all(equal(a, b) for a, b in zip(once, again, strict=True))
    whole = joined(once)
    real = whole["example_weights"] == 1
    assert size % 7 and real.sum() == size and real[:size].all()
    assert not whole["mask_weights"][~real].any()
    assert len({tuple(row) for row in whole["token_ids"][real].tolist()}) == size


def test_evaluation_can_be_bounded_and_shared_by_hosts(store, settings):
    expected = take(pretraining.evaluation_stream(store, settings, 8), 3)
    hosts = [
        list(pretraining.evaluation_stream(store, settings, 8, 3, host, 2).as_numpy_iterator())
        for host in range(2)
    ]
    assert len(hosts[0]) == 3
    for parts, whole in zip(zip(*hosts, strict=True), expected, strict=True):
        assert equal(joined(parts), whole)


def test_tensors_have_static_shapes(store, settings):
    spec = pretraining.train_stream(store, settings, BATCH, seed=0).element_spec
    assert spec["token_ids"].shape.as_list() == [BATCH, 64]
    assert spec["mask_weights"].shape.as_list() == [BATCH, 9]
    assert spec["order_labels"].shape.as_list() == [BATCH]


def test_a_length_that_no_example_fits_is_refused_before_the_stream_starts(store, settings):
    short = dataclasses.replace(settings, max_seq_length=8)
    with pytest.raises(InputError, match="--max_seq_length=8"):
        pretraining.evaluation_stream(store, short, BATCH)
