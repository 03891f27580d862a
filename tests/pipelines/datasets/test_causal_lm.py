import dataclasses
import itertools

import numpy as np
import pytest

from pipelines import schema
from pipelines.datasets import causal_lm
from pipelines.errors import InputError
from pipelines.examples.lm_windows import walk
from pipelines.settings import DataSettings
from pipelines.store.lm_corpus import Corpus
from pipelines.tokenizers.symbols import Symbols

BATCH, BLOCK = 4, 8
SETTINGS = DataSettings(block_size=BLOCK, tokenizer="word")


def corpus_of(train, held_out=57):
    """A text of ascending numbers, so that an id is its own position."""
    splits = {"train": train, "validation": held_out, "test": held_out}
    splits = {split: np.arange(size, dtype=np.uint16) for split, size in splits.items()}
    return Corpus(None, "numbers", splits, Symbols("word", []), "")


@pytest.fixture(scope="module")
def corpus():
    return corpus_of(311)


def equal(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[k], other[k]) for k in one)


def take(stream, number):
    return list(itertools.islice(stream.as_numpy_iterator(), number))


def joined(parts):
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


@pytest.fixture(scope="module")
def batches(corpus):
    """Many passes of nine or ten steps."""
    return take(causal_lm.train_stream(corpus, SETTINGS, BATCH, seed=7), 200)


def test_each_row_goes_on_where_it_stopped_until_a_pass_ends(batches):
    for before, batch in itertools.pairwise(batches):
        goes_on = batch["token_ids"][:, 0] == before["targets"][:, -1]
        assert np.array_equal(goes_on, ~batch["starts_anew"])
    assert batches[0]["starts_anew"].all()
    assert sum(batch["starts_anew"].all() for batch in batches) > 20


def test_each_row_reads_its_own_stretch_and_the_tail_is_left_out(batches):
    length = 311 // BATCH
    for batch in batches:
        assert (batch["token_ids"] // length == np.arange(BATCH)[:, None]).all()
        assert (batch["targets"] // length == np.arange(BATCH)[:, None]).all()
        assert np.array_equal(batch["targets"], batch["token_ids"] + 1)
        assert len(set((batch["token_ids"][:, 0] - np.arange(BATCH) * length).tolist())) == 1


def test_the_first_pass_is_that_of_the_published_program(batches):
    positions = [position for position, _ in walk(311 // BATCH, BLOCK, [0])]
    assert [batch["token_ids"][0, 0] for batch in batches[: len(positions)]] == positions
    assert batches[len(positions)]["starts_anew"].all()


def test_the_stream_is_the_pure_function_of_seed_and_step(corpus, batches):
    for step, batch in reversed(list(enumerate(batches))):
        assert equal(batch, causal_lm.batch_at(corpus, SETTINGS, 7, step, BATCH))


@pytest.mark.parametrize("start", [1, 37, 199])
def test_a_stream_that_starts_later_goes_on_as_the_whole_one(corpus, batches, start):
    stream = causal_lm.train_stream(corpus, SETTINGS, BATCH, seed=7, start_step=start)
    for batch, expected in zip(take(stream, 200 - start), batches[start:], strict=True):
        assert equal(batch, expected)


def test_another_seed_gives_other_passes_behind_the_first(corpus, batches):
    others = take(causal_lm.train_stream(corpus, SETTINGS, BATCH, seed=8), 200)
    same = [equal(one, other) for one, other in zip(batches, others, strict=True)]
    assert all(same[:9]) and not all(same)


@pytest.mark.parametrize("hosts", [1, 2, 4])
def test_any_number_of_hosts_makes_the_same_batches(corpus, batches, hosts):
    streams = [
        take(causal_lm.train_stream(corpus, SETTINGS, BATCH, 7, 0, host, hosts), 40)
        for host in range(hosts)
    ]
    for parts, expected in zip(zip(*streams, strict=True), batches[:40], strict=True):
        assert equal(joined(parts), expected)


def test_hosts_that_do_not_divide_the_batch_are_refused(corpus):
    with pytest.raises(InputError, match="batch of 4 .* 3 hosts"):
        causal_lm.train_stream(corpus, SETTINGS, BATCH, 0, num_hosts=3)


def test_rows_too_short_for_a_block_are_refused_with_what_fits(corpus):
    with pytest.raises(InputError, match="--train_batch_size=35 .* use --train_batch_size=34"):
        causal_lm.train_stream(corpus, SETTINGS, 35, 0)
    assert take(causal_lm.train_stream(corpus, SETTINGS, 34, 0), 3)
    long = dataclasses.replace(SETTINGS, block_size=100)
    with pytest.raises(InputError, match="--block_size=76 or less"):
        causal_lm.train_stream(corpus, long, BATCH, 0)
    fitting = dataclasses.replace(SETTINGS, block_size=76)
    assert all(
        b["starts_anew"].all() for b in take(causal_lm.train_stream(corpus, fitting, 4, 0), 3)
    )


def test_batches_and_tensors_keep_their_contract(corpus, batches):
    schema.check(batches[0], schema.causal_batch(SETTINGS, BATCH))
    evaluation = causal_lm.evaluation_batch_at(corpus, SETTINGS, "test", 0, BATCH)
    schema.check(evaluation, schema.causal_batch(SETTINGS, BATCH, evaluation=True))
    spec = causal_lm.train_stream(corpus, SETTINGS, BATCH, seed=0).element_spec
    assert spec["token_ids"].shape.as_list() == [BATCH, BLOCK]
    assert spec["starts_anew"].shape.as_list() == [BATCH]


def scored(batches):
    """Return, for each target, the ids that a model with unbounded memory has read before.

    Rows are followed from batch to batch; a target that counts twice fails.
    """
    contexts, read = {}, None
    for batch in batches:
        rows = range(len(batch["token_ids"]))
        read = [[] if read is None or batch["starts_anew"][r] else read[r] for r in rows]
        for row in rows:
            arrays = (batch[name][row] for name in ("token_ids", "targets", "target_weights"))
            for token, target, weight in zip(*arrays, strict=True):
                read[row] = [*read[row], int(token)]
                assert weight in (0, 1)
                if weight:
                    assert target not in contexts
                    contexts[int(target)] = read[row]
    return contexts


def evaluated(corpus, batch_size, split="validation", **others):
    settings = dataclasses.replace(SETTINGS, **others)
    stream = causal_lm.evaluation_stream(corpus, settings, split, batch_size)
    batches = list(stream.as_numpy_iterator())
    assert len(batches) == causal_lm.num_evaluation_batches(corpus, settings, split, batch_size)
    return scored(batches)


@pytest.mark.parametrize("symbols", [2, 3, 9, 33, 57, 65])
@pytest.mark.parametrize("batch_size", [1, 3, 4, 7, 64])
def test_every_target_counts_once_whatever_the_batch_size(symbols, batch_size):
    contexts = evaluated(corpus_of(100, symbols), batch_size)
    assert sorted(contexts) == list(range(1, symbols))
    begins = {read[0] for read in contexts.values()}
    assert len(begins) == min(batch_size, symbols - 1)
    for target, read in contexts.items():
        assert read == list(range(read[0], target))


STRIDES = [(8, None), (3, 5), (1, 7), (20, 11), (64, 0), (5, 200)]


@pytest.mark.parametrize(("stride", "context"), STRIDES)
@pytest.mark.parametrize("symbols", [2, 9, 57])
def test_with_a_stride_each_target_stands_behind_the_promised_context(stride, context, symbols):
    corpus = corpus_of(100, symbols)
    contexts = evaluated(corpus, 3, eval_stride=stride, eval_context=context)
    assert sorted(contexts) == list(range(1, symbols))
    for target, read in contexts.items():
        assert read == list(range(read[0], target))
        assert len(read) >= min(target, (BLOCK if context is None else context) + 1)


@pytest.mark.parametrize(("stride", "context"), STRIDES)
def test_with_a_stride_the_contexts_do_not_depend_on_the_batch_size(corpus, stride, context):
    one, *others = (
        evaluated(corpus, size, eval_stride=stride, eval_context=context) for size in (1, 2, 5, 40)
    )
    assert all(other == one for other in others)


def test_a_model_that_sees_one_block_can_be_scored_in_windows_of_one_block(corpus):
    settings = dataclasses.replace(SETTINGS, eval_stride=2, eval_context=6)
    for batch in causal_lm.evaluation_stream(corpus, settings, "test", 4).as_numpy_iterator():
        assert batch["starts_anew"].all()


@pytest.mark.parametrize("stride", [None, 12])
def test_an_evaluation_can_be_bounded_and_shared_by_hosts(corpus, stride):
    settings = dataclasses.replace(SETTINGS, eval_stride=stride)
    whole = list(causal_lm.evaluation_stream(corpus, settings, "validation", 4).as_numpy_iterator())
    parts = [
        list(
            causal_lm.evaluation_stream(
                corpus, settings, "validation", 4, 1, host, 2
            ).as_numpy_iterator()
        )
        for host in range(2)
    ]
    assert len(parts[0]) == (3 if stride else 1)
    for pair, expected in zip(zip(*parts, strict=True), whole, strict=False):
        assert equal(joined(pair), expected)
    counted = sum(batch["target_weights"].sum() for pair in parts for batch in pair)
    assert counted > 0
