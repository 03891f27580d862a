import numpy as np
import pytest

from sparse_mixer_tf.analysis.expert_preference import Takings, lower_bound


def test_counts_lifts_and_gates_are_those_of_what_was_taken():
    takings = Takings(2, 3)
    ids = np.repeat([0, 1, 2], [40, 20, 20])
    # Expert 0 takes every 0 and half of 1, expert 1 the others but ten 2, which nobody takes.
    gates = np.zeros((80, 2))
    gates[:50, 0], gates[50:70, 1] = 0.5, 0.9
    for part in (slice(0, 33), slice(33, 80)):
        takings.add(ids[part], gates[part])
    assert takings.taken.tolist() == [[40, 10, 0], [0, 10, 10]]
    assert takings.untaken == 10
    np.testing.assert_allclose(takings.mean_gates(), [0.5, 0.9])
    # All of its tokens, where it takes 50 of all 80.
    assert takings.preferred(0) == [{"id": 0, "lift": 1.6, "count": 40, "seen": 40}]
    assert takings.preferred(0, min_count=41) == []


def test_a_word_seen_often_comes_before_one_seen_seldom_and_rare_ones_not_at_all():
    takings = Takings(2, 4)
    ids = np.repeat([0, 1, 2, 3], [500, 12, 4, 500])
    gates = np.zeros((len(ids), 2))
    gates[ids < 3, 0] = 1.0
    # Two of five hundred go elsewhere: a lower share than 12 of 12, and yet surer.
    gates[:2] = [0, 1]
    gates[ids == 3, 1] = 1.0
    takings.add(ids, gates)
    assert [word["id"] for word in takings.preferred(0)] == [0, 1]
    assert [word["id"] for word in takings.preferred(0, min_count=1)] == [0, 1, 2]
    assert [word["id"] for word in takings.preferred(1)] == [3]


def test_an_expert_that_takes_all_alike_prefers_nothing():
    takings = Takings(2, 2)
    ids, gates = np.tile([0, 1], 50), np.zeros((100, 2))
    gates[:50, 0] = gates[50:, 1] = 1.0
    takings.add(ids, gates)
    assert takings.preferred(0) == takings.preferred(1) == []


def test_an_expert_that_takes_nothing_breaks_nothing():
    takings = Takings(2, 2)
    takings.add(np.array([0, 1]), np.zeros((2, 2)))
    assert takings.preferred(0) == [] and takings.mean_gates().tolist() == [0, 0]


def test_the_lower_bound_is_wilsons():
    # R: prop.test(45, 60, correct = FALSE) gives 0.6277 to 0.8422.
    assert lower_bound(np.array([45]), np.array([60]))[0] == pytest.approx(0.6277, abs=2e-4)
    assert lower_bound(np.array([0]), np.array([0]))[0] == 0
