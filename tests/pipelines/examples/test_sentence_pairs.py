import dataclasses

import numpy as np
import pytest

from pipelines import random_streams
from pipelines.examples import example_index, sentence_pairs


@pytest.fixture(scope="module")
def table(store, settings):
    return example_index.examples(store, "train", settings)


def keys_of(number):
    return random_streams.fold(random_streams.stream_key(0, "pairing"), np.arange(number))


def test_the_parts_of_a_pair_are_the_whole_example_cut_at_a_sentence_end(store, table):
    shards = store.splits["train"]
    runs, labels = sentence_pairs.order_pairs(shards, table, keys_of(len(table)))
    start, length = runs.start.reshape(-1, 2), runs.length.reshape(-1, 2)
    assert runs.row.tolist() == np.repeat(np.arange(len(table)), 2).tolist()
    assert np.array_equal(length.sum(axis=1), table["length"])
    assert np.array_equal(start.min(axis=1), table["token_start"])
    assert length.min() >= 1
    in_order = labels == 1
    assert np.array_equal(start[:, 0] < start[:, 1], in_order)
    assert np.isin(start.max(axis=1), shards[0].sentence_ends).all()
    first = np.where(in_order, length[:, 0], length[:, 1])
    assert np.array_equal(start.min(axis=1) + first, start.max(axis=1))


def test_half_of_the_pairs_are_exchanged_and_every_inner_boundary_is_equally_likely(store, table):
    example = table[np.argmax(table["num_boundaries"])]
    many = np.repeat(example[None], 20_000)
    shards = store.splits["train"]
    runs, labels = sentence_pairs.order_pairs(shards, many, keys_of(len(many)))
    assert labels.mean() == pytest.approx(0.5, abs=0.02)
    cuts, counts = np.unique(runs.start.reshape(-1, 2).max(axis=1), return_counts=True)
    first, number = int(example["first_boundary"]), int(example["num_boundaries"])
    assert number >= 4
    assert cuts.tolist() == shards[0].sentence_ends[first : first + number - 1].tolist()
    assert counts / len(many) == pytest.approx(np.full(number - 1, 1 / (number - 1)), abs=0.02)


def test_a_false_next_part_comes_from_another_document_and_fits(store, table):
    shards = store.splits["train"]
    many = np.tile(table, 20)
    most = 40
    short = many[many["length"] <= most]
    runs, labels = sentence_pairs.next_pairs(shards, short, table, keys_of(len(short)), most)
    start, length = runs.start.reshape(-1, 2), runs.length.reshape(-1, 2)
    document = np.searchsorted(shards[0].document_ends, start, side="right")
    true = labels == 1
    assert labels.mean() == pytest.approx(0.5, abs=0.05)
    assert np.array_equal(document[:, 0] == document[:, 1], true)
    assert np.array_equal((start[:, 0] + length[:, 0])[true], start[true, 1])
    assert length.min() >= 1 and length.sum(axis=1).max() <= most
    assert np.isin(start[:, 1], shards[0].sentence_ends).all()


def test_a_corpus_of_one_document_has_true_next_parts_only(store, table):
    one = table[table["document"] == table["document"][0]]
    _, labels = sentence_pairs.next_pairs(store.splits["train"], one, one, keys_of(len(one)), 61)
    assert labels.tolist() == [1] * len(one)


def test_packed_runs_end_with_documents_or_with_the_row(store, settings):
    packed = dataclasses.replace(settings, pair_objective="none", pack_documents=True)
    table = example_index.examples(store, "train", packed)
    shards = store.splits["train"]
    runs = sentence_pairs.packed_runs(shards, table)
    stops = runs.start + runs.length
    last_of_row = np.append(np.diff(runs.row) > 0, True)
    assert runs.length.min() >= 1
    assert np.isin(stops[~last_of_row], shards[0].document_ends).all()
    assert runs.start[0] == 0 and np.array_equal(runs.start[1:], stops[:-1])
    assert np.bincount(runs.row, runs.length).tolist() == table["length"].tolist()
    inner = [
        np.sum((shards[0].document_ends > a) & (shards[0].document_ends < b))
        for a, b in zip(runs.start, stops, strict=True)
    ]
    assert not np.any(inner)
