import itertools

import numpy as np
import pytest

from sparse_mixer_tf.metrics import ngram_baseline
from sparse_mixer_tf.metrics.ngram_baseline import ngram_bits_per_symbol


def test_the_probabilities_of_all_symbols_behind_a_context_sum_to_one():
    train = np.random.default_rng(0).integers(0, 4, 300)
    tables = ngram_baseline._tables(train, 4, 3)
    for context in itertools.product(range(4), repeat=2):
        probability = np.full(4, 0.25)
        texts = np.array([[*context, symbol] for symbol in range(4)])
        for length in (1, 2, 3):
            codes = np.array(
                [ngram_baseline._codes(text[-length:], 4, length)[0] for text in texts]
            )
            probability = ngram_baseline._interpolate(tables[length], codes, 4, probability)
        assert probability.sum() == pytest.approx(1.0)
        assert (probability > 0).all()


def test_a_small_case_is_that_computed_by_hand():
    # Too few n-grams to estimate discounts from: one half of each is taken.
    # Bigrams 0-1 twice, 1-0 once, 1-1 once; behind two symbols stands 1, behind one stands 0.
    one = (2 - 0.5) / 3 + 2 * 0.5 / 3 * 0.5
    zero = (1 - 0.5) / 3 + 2 * 0.5 / 3 * 0.5
    expected = [(2 - 0.5) / 2 + 0.5 / 2 * one, (1 - 0.5) / 2 + 2 * 0.5 / 2 * zero]
    bits = ngram_bits_per_symbol(np.array([0, 1, 0, 1, 1]), np.array([0, 1, 0]), order=2)
    assert bits == pytest.approx(-np.mean(np.log2(expected)))


def test_random_symbols_cost_their_entropy_and_a_cycle_nothing():
    draw = np.random.default_rng(1)
    bits = ngram_bits_per_symbol(draw.integers(0, 8, 60_000), draw.integers(0, 8, 20_000), 2)
    assert bits == pytest.approx(3.0, abs=0.01)
    cycle = np.arange(20_000) % 50
    assert ngram_bits_per_symbol(cycle, cycle[:1000], 5) < 0.01


def test_a_source_of_memory_two_is_learned_by_trigrams_to_its_entropy():
    draw = np.random.default_rng(2)
    table = draw.dirichlet(np.full(4, 0.4), (4, 4))
    text, uniform = [0, 0], draw.random(80_000)
    cumulative = table.cumsum(-1)
    for number in uniform:
        text.append(int(np.searchsorted(cumulative[text[-2], text[-1]], number).clip(0, 3)))
    text = np.array(text)
    train, held_out = text[:60_000], text[60_000:]
    steps = zip(held_out[:-2], held_out[1:-1], held_out[2:], strict=True)
    entropy = -np.mean([np.log2(table[step]) for step in steps])
    bits = {order: ngram_bits_per_symbol(train, held_out, order) for order in (1, 2, 3, 5)}
    assert bits[1] > bits[2] > bits[3]
    assert bits[3] == pytest.approx(entropy, abs=0.01)
    assert bits[5] < bits[3] + 0.02


def test_symbols_that_training_never_met_still_have_a_price():
    bits = ngram_bits_per_symbol(np.arange(200) % 5, np.array([0, 1, 77, 2]), 5)
    assert np.isfinite(bits) and bits > 2


def test_a_text_shorter_than_the_order_is_scored():
    assert np.isfinite(ngram_bits_per_symbol(np.array([0, 1, 0]), np.array([0, 1]), 5))


def test_ids_of_any_width_give_the_same_bits():
    ids = np.random.default_rng(3).integers(0, 200, 5000)
    expected = ngram_bits_per_symbol(ids[:4000], ids[4000:])
    for dtype in (np.uint8, np.uint16, np.int32):
        narrow = ids.astype(dtype)
        assert ngram_bits_per_symbol(narrow[:4000], narrow[4000:]) == expected


def test_a_vocabulary_of_words_is_refused():
    with pytest.raises(ValueError, match="this is for characters"):
        ngram_bits_per_symbol(np.array([0, 100_000]), np.array([0, 1]), 5)


def test_discounts_are_estimated_from_how_many_ngrams_are_seen_how_often():
    counts = np.repeat([1, 2, 3, 4, 9], [4, 2, 2, 1, 5])
    assert ngram_baseline._discounts(counts).tolist() == [0.0, 0.5, 0.5, 2.0]
