import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import InputError
from pipelines.examples import example_index

documents = st.lists(st.lists(st.integers(1, 30), min_size=1, max_size=25), min_size=1, max_size=12)


def ends_of(lengths):
    sentence_ends = np.cumsum([n for document in lengths for n in document]).astype(np.uint32)
    document_ends = np.cumsum([sum(document) for document in lengths]).astype(np.uint32)
    return sentence_ends, document_ends


def walk_one_by_one(lengths, most):
    """The published walk, a sentence at a time: (document, first sentence, number, tokens)."""
    found, first_of_document = [], 0
    for number, document in enumerate(lengths):
        j = 0
        while j + 1 < len(document):
            if document[j] + document[j + 1] > most:
                j += 1
                continue
            taken, tokens = 0, 0
            while j + taken < len(document) and tokens + document[j + taken] <= most:
                tokens += document[j + taken]
                taken += 1
            found.append((number, first_of_document + j, taken, tokens))
            j += taken
        first_of_document += len(document)
    return found


@given(lengths=documents, most=st.integers(5, 60))
def test_pairs_are_those_of_the_walk_over_each_document(lengths, most):
    table = example_index.cut_pairs(*ends_of(lengths), most)
    fields = ("document", "first_boundary", "num_boundaries", "length")
    assert [tuple(int(row[name]) for name in fields) for row in table] == walk_one_by_one(
        lengths, most
    )
    starts = np.concatenate([[0], ends_of(lengths)[0]])
    assert np.array_equal(table["token_start"], starts[table["first_boundary"]])


@given(lengths=documents, most=st.integers(2, 60))
def test_windows_cover_every_token_once_and_stay_within_a_document(lengths, most):
    _, document_ends = ends_of(lengths)
    table = example_index.cut_windows(document_ends, most)
    stops = table["token_start"] + table["length"]
    assert table["token_start"][0] == 0 and stops[-1] == document_ends[-1]
    assert np.array_equal(table["token_start"][1:], stops[:-1])
    assert table["length"].max() <= most
    assert np.array_equal(np.searchsorted(document_ends, stops, side="left"), table["document"])


@given(lengths=documents, most=st.integers(3, 60))
def test_packed_runs_cover_every_token_once_and_fit_with_their_separators(lengths, most):
    _, document_ends = ends_of(lengths)
    table = example_index.cut_packed(document_ends, most)
    stops = table["token_start"] + table["length"]
    assert table["token_start"][0] == 0 and stops[-1] == document_ends[-1]
    assert np.array_equal(table["token_start"][1:], stops[:-1])
    for row, stop in zip(table, stops, strict=True):
        inside = document_ends[(document_ends > row["token_start"]) & (document_ends <= stop)]
        assert row["num_boundaries"] == len(inside)
        assert document_ends[row["first_boundary"] :][: len(inside)].tolist() == inside.tolist()
        separators = len(inside) + (not len(inside) or inside[-1] != stop)
        assert row["length"] + separators <= most


def test_packing_puts_short_documents_together():
    table = example_index.cut_packed(np.array([4, 8, 12, 30], np.uint32), 16)
    assert table["length"].tolist() == [12, 15, 3]
    assert table["num_boundaries"].tolist() == [3, 0, 1]


def test_the_table_is_kept_beside_the_store_and_read_from_there(store, settings, monkeypatch):
    first = example_index.examples(store, "train", settings)
    example_index.examples.cache_clear()
    monkeypatch.setattr(example_index, "_cut", None)
    again = example_index.examples(store, "train", settings)
    assert np.array_equal(first, again) and len(again) > 100
    assert [path.name for path in (store.path / "examples").glob("train-pairs-64.*")]


def test_a_store_that_cannot_be_written_to_is_cut_in_memory(store, settings, monkeypatch):
    expected = example_index.examples(store, "train", settings)
    monkeypatch.setattr(example_index, "_FORMAT", 0)

    def refuse(*_, **__):
        raise PermissionError

    monkeypatch.setattr("os.replace", refuse)
    example_index.examples.cache_clear()
    assert np.array_equal(example_index.examples(store, "train", settings), expected)
    assert not list((store.path / "examples").glob("*.0"))


def test_a_split_without_an_example_is_refused_by_the_flags_that_decide(store, settings):
    short = dataclasses.replace(settings, max_seq_length=8)
    with pytest.raises(InputError, match="--max_seq_length=8 .*--pair_objective=none"):
        example_index.examples(store, "validation", short)
