import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines import random_streams


def test_mix_is_the_finaliser_of_splitmix64():
    # The first outputs of the reference implementation of splitmix64 with state 1234567.
    states = np.uint64(1234567) + np.arange(1, 4, dtype=np.uint64) * random_streams.GOLDEN_GAMMA
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert random_streams.mix(states).tolist() == expected


@given(size=st.integers(1, 3000), seed=st.integers(0, 2**40))
def test_permutation_meets_every_element_once(size, seed):
    key = random_streams.stream_key(seed, "order")
    assert np.array_equal(
        np.sort(random_streams.permutation(key, np.arange(size), size)), np.arange(size)
    )


def test_a_single_element_of_a_permutation_needs_no_other():
    key = random_streams.stream_key(1, "order")
    whole = random_streams.permutation(key, np.arange(1000), 1000)
    assert random_streams.permutation(key, np.array([713]), 1000)[0] == whole[713]


def test_rows_of_other_keys_are_permuted_otherwise():
    keys = random_streams.fold(random_streams.stream_key(1, "order"), np.repeat([0, 1], 500))
    both = random_streams.permutation(keys, np.tile(np.arange(500), 2), 500)
    assert np.array_equal(np.sort(both[:500]), np.arange(500))
    assert np.array_equal(np.sort(both[500:]), np.arange(500))
    assert np.mean(both[:500] == both[500:]) < 0.02


def test_permutation_has_the_fixed_points_and_neighbours_of_a_random_one():
    places = [
        random_streams.permutation(random_streams.stream_key(seed, "order"), np.arange(100), 100)
        for seed in range(300)
    ]
    fixed = np.mean([np.sum(place == np.arange(100)) for place in places])
    neighbours = np.mean([np.sum(np.diff(place) == 1) for place in places])
    # Both counts are Poisson with mean 1: the mean of 300 has a standard deviation of 0.06.
    assert fixed == pytest.approx(1, abs=0.25)
    assert neighbours == pytest.approx(1, abs=0.25)


def test_uniform_and_below_are_uniform():
    keys = random_streams.fold(random_streams.stream_key(5, "x"), np.arange(100_000))
    values = random_streams.uniform(keys)
    assert values.min() >= 0 and values.max() < 1
    assert values.mean() == pytest.approx(0.5, abs=0.005)
    counts = np.bincount(random_streams.below(keys, 7), minlength=7)
    assert counts / 100_000 == pytest.approx(np.full(7, 1 / 7), abs=0.006)


def test_streams_of_other_seeds_or_names_are_unrelated():
    keys = [
        random_streams.fold(random_streams.stream_key(seed, name), np.arange(10_000))
        for seed, name in ((0, "a"), (0, "b"), (1, "a"))
    ]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        correlation = np.corrcoef(
            random_streams.uniform(keys[one]), random_streams.uniform(keys[other])
        )
        assert abs(correlation[0, 1]) < 0.05
