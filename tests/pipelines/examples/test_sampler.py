import dataclasses
import itertools
import os
import sys
import tracemalloc

import numpy as np
import pytest

from pipelines import random_streams
from pipelines.datasets import pretraining
from pipelines.errors import InputError
from pipelines.examples import example_index, sampler
from pipelines.settings import SPLITS, DataSettings
from pipelines.store import format
from pipelines.store.shards import GROUP
from pipelines.store.store import TokenStore
from tests.long_cases import long_cases

BATCH = 16


def equal(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[k], other[k]) for k in one)


@pytest.fixture
def many(many_shards):
    return TokenStore.open(many_shards)


@pytest.fixture(params=["order", "packed", *long_cases("next", "windows")])
def objective(request, settings):
    changes = {
        "windows": {"pair_objective": "none"},
        "packed": {"pair_objective": "none", "pack_documents": True},
    }
    chosen = changes.get(request.param, {"pair_objective": request.param})
    return dataclasses.replace(settings, **chosen)


def epoch(store, settings, split, number):
    """(shard, first token) and whether it came before, of each position of an epoch."""
    key = random_streams.fold(random_streams.stream_key(7, "order"), number)
    found = [None] * sampler.size(store, settings, split)
    index = np.arange(len(found))
    for part in sampler.parts(store, settings, split, key, index):
        chosen = part.table[part.example]
        where = zip(chosen["shard"].tolist(), chosen["token_start"].tolist(), strict=True)
        for row, place, again in zip(part.rows, where, part.again, strict=True):
            found[row] = place, bool(again)
    return found


def test_few_shards_are_one_permutation_of_all_examples(store, settings):
    size = sampler.size(store, settings, "train")
    keys, index = np.arange(6, dtype=np.uint64).repeat(2), np.arange(12) * 3
    (part,) = sampler.parts(store, settings, "train", keys, index)
    assert size == len(part.table)
    assert np.array_equal(part.example, random_streams.permutation(keys, index, size))
    assert np.array_equal(part.name, part.example) and not part.again.any()


def test_any_start_of_many_shards_goes_on_as_the_whole_stream(many, objective):
    steps = 2 * sampler.size(many, objective, "train") // BATCH + 3
    whole = pretraining.train_stream(many, objective, BATCH, seed=7)
    batches = list(itertools.islice(whole.as_numpy_iterator(), steps))
    for start in (1, steps // 2, steps - 2):
        stream = pretraining.train_stream(many, objective, BATCH, seed=7, start_step=start)
        later = itertools.islice(stream.as_numpy_iterator(), 2)
        assert all(equal(*pair) for pair in zip(later, batches[start:], strict=False))
    rows = [
        pretraining.batch_at(many, objective, 7, steps - 1, BATCH, range(first, first + 4))
        for first in range(0, BATCH, 4)
    ]
    joined = {name: np.concatenate([part[name] for part in rows]) for name in rows[0]}
    assert equal(joined, batches[-1])


def test_epochs_of_many_shards_meet_every_example_each_in_another_order(many, objective):
    numbers = tuple(range(len(many.splits["train"])))
    table = example_index.group_examples(many, "train", objective, numbers)
    everything = {(int(row["shard"]), int(row["token_start"])) for row in table}
    epochs = [epoch(many, objective, "train", number) for number in range(8)]
    assert set().union(*({place for place, _ in one} for one in epochs)) == everything
    assert 0.9 < len(epochs[0]) / len(everything) < 1.1
    assert np.mean([a == b for a, b in zip(*epochs[:2], strict=True)]) < 0.05


def test_within_an_epoch_an_example_comes_again_only_when_all_of_its_group_have_come(
    many, objective
):
    for split in ("train", "validation"):
        met = epoch(many, objective, split, 3)
        first = [place for place, again in met if not again]
        assert len(first) == len(set(first)) and first
        assert {place for place, again in met if again} <= set(first)


def test_an_example_that_comes_again_is_masked_anew(many, settings):
    short = dataclasses.replace(settings, max_seq_length=16)
    keys = random_streams.fold(random_streams.stream_key(7, "order"), 0)
    repeats = 0
    for split in ("train", "validation"):
        index, names = np.arange(sampler.size(many, short, split)), []
        for part in sampler.parts(many, short, split, keys, index):
            names += part.name.tolist()
            repeats += part.again.sum()
        assert len(names) == len(set(names))
    assert repeats


def test_held_out_examples_of_many_shards_count_once(many, settings):
    settings = dataclasses.replace(settings, max_seq_length=16)
    assert len(many.splits["validation"]) > GROUP
    stream = pretraining.evaluation_stream(many, settings, 7)
    batches = list(stream.as_numpy_iterator())
    weight = np.concatenate([batch["example_weights"] for batch in batches])
    masked = np.concatenate([batch["mask_weights"] for batch in batches])
    key = random_streams.stream_key(pretraining.EVALUATION_SEED, "order")
    size = sampler.size(many, settings, "validation")
    again = np.zeros(len(weight), bool)
    for part in sampler.parts(many, settings, "validation", key, np.arange(size)):
        again[part.rows] = part.again
    assert again.any(), "a group with fewer examples than positions"
    again[size:] = True
    assert np.array_equal(weight == 0, again)
    assert not masked[again].any() and masked[~again].any(axis=1).all()


def test_neighbours_come_from_several_shards_and_few_of_them_are_opened(many, settings):
    key, index = random_streams.stream_key(7, "order"), np.arange(64)
    found = np.concatenate(
        [p.table[p.example]["shard"] for p in sampler.parts(many, settings, "train", key, index)]
    )
    assert GROUP / 2 < len(np.unique(found)) <= 2 * GROUP


SHARDS, SENTENCE, DOCUMENT = 2400, 64, 4096


@pytest.fixture
def stand_in(store, tmp_path):
    """300 GB of tokens that take no room on the disk: all of them piece 0."""
    folder = tmp_path / "large"
    for name in (*SPLITS, "vocabulary"):
        (folder / name).mkdir(parents=True)
    arrays, tokens = tmp_path / "arrays", format.TOKENS_PER_SHARD
    arrays.mkdir()
    for name, width in (("sentence_ends", SENTENCE), ("document_ends", DOCUMENT)):
        np.arange(width, tokens + 1, width, dtype="<u4").tofile(arrays / name)
    with open(arrays / "tokens", "wb") as stream:
        stream.truncate(2 * tokens)
    entries = {}
    for split, number in (("train", SHARDS), ("validation", 2)):
        for shard in range(number):
            for array in format.ARRAYS:
                name = format.array_path(split, format.shard_name(shard, 0), array)
                os.link(arrays / array, folder / name)
                size = (arrays / array).stat().st_size
                entries[name] = {"bytes": size, "sha256": "0" * 64}
    words = store.vocabulary
    (folder / format.VOCABULARY).write_bytes(words.model_bytes)
    manifest = {
        "format_version": format.FORMAT_VERSION,
        "vocabulary_size": words.size,
        "vocabulary_fingerprint": words.fingerprint,
        "data_fingerprint": "0" * 64,
        "files": entries,
    }
    format.write_manifest(folder, manifest)
    assert sum(e["bytes"] for n, e in entries.items() if n.endswith(".tokens")) > 300e9
    return folder


_watched, _opened = [], []


def _watch(event, arguments):
    if _watched and event == "open" and str(arguments[0]).startswith(_watched[0]):
        _opened.append(str(arguments[0]))


def test_opening_and_seeking_cost_the_same_in_300_gb(stand_in):
    sys.addaudithook(_watch)
    _watched.append(str(stand_in))
    settings = DataSettings(max_seq_length=512)
    tracemalloc.start()
    try:
        store = TokenStore.open(stand_in)
        size = sampler.size(store, settings, "train")
        few = 4 + 2 * 3
        assert len(_opened) <= few, "manifest, vocabulary, and two shards to count examples in"
        group = 3 * GROUP
        for number, step in enumerate((0, 10**6, 10**9), 1):
            batch = pretraining.batch_at(store, settings, 0, step, 64)
            assert batch["token_ids"].shape == (64, 512) and batch["padding_mask"].any()
            assert len(_opened) <= few + number * group
        assert len(set(_opened)) > group
        # The table of all examples would have 9 GB.
        assert tracemalloc.get_traced_memory()[1] < 500e6
    finally:
        tracemalloc.stop()
        _watched.clear()
        example_index._group_examples.cache_clear()
    # All shards have the same lengths here, so that the number is exact.
    shard = example_index.cut_pairs(
        *(np.fromfile(stand_in / f"train/00000.{array}", "<u4") for array in format.ARRAYS[1:]),
        512 - 3,
    )
    assert size == SHARDS * len(shard)


def test_a_length_that_nothing_in_a_group_fits_is_refused(many, settings):
    short = dataclasses.replace(settings, max_seq_length=8)
    with pytest.raises(InputError, match="--max_seq_length=8"):
        pretraining.batch_at(many, short, 0, 0, BATCH)
