import itertools
import random

import numpy as np
import pytest

from pipelines.examples import lm_windows
from pipelines.examples.lm_windows import Walk, walk


def published_walk(length, block, steps):
    """Positions and resets of the published program, from its description."""
    draw, position, anew, seen = random.Random(0), 0, True, []
    for _ in range(steps):
        seen.append((position, anew))
        position, anew = position + block, False
        if position >= length - block:
            position, anew = draw.randrange(block), True
    return seen


@pytest.mark.parametrize(("length", "block"), [(45, 8), (40, 8), (41, 8), (300, 16)])
def test_with_its_offsets_the_walk_is_the_published_one(length, block):
    draw = random.Random(0)
    offsets = itertools.chain([0], iter(lambda: draw.randrange(block), None))
    assert list(itertools.islice(walk(length, block, offsets), 60)) == published_walk(
        length, block, 60
    )


def offsets_of(steps):
    return [position for position, anew in steps if anew]


@pytest.mark.parametrize("length", [9, 10, 15, 16, 17, 24, 45, 200])
def test_any_step_is_that_of_the_walk_over_its_offsets(length):
    steps = [Walk(length, 8, seed=3).at(step) for step in range(400)]
    whole = list(walk(length, 8, offsets_of(steps)))
    assert steps == whole[:400]
    assert len(whole) - len(steps) < length
    assert all(0 <= position < length - 8 for position, _ in steps)


def test_the_first_pass_begins_at_zero_and_the_others_anywhere_in_a_block():
    offsets = offsets_of([Walk(45, 8, seed=1).at(step) for step in range(8000)])
    assert offsets[0] == 0
    counts = np.bincount(offsets, minlength=8)
    assert len(counts) == 8
    assert counts.min() > 0.8 * len(offsets) / 8


def test_a_step_depends_on_the_seed_and_on_nothing_that_was_asked_before():
    one = Walk(1000, 8, seed=5)
    far = one.at(10**6)
    one.at(3)
    assert far == one.at(10**6) == Walk(1000, 8, seed=5).at(10**6)
    steps = range(0, 5000, 7)
    same = [one.at(step) for step in steps] == [Walk(1000, 8, seed=5).at(step) for step in steps]
    other = [one.at(step) for step in steps] == [Walk(1000, 8, seed=6).at(step) for step in steps]
    assert same and not other


@pytest.mark.parametrize("num_pairs", [1, 2, 15, 16, 17, 100, 1003])
@pytest.mark.parametrize("batch_size", [1, 3, 4, 32])
def test_rows_divide_a_text_evenly_and_completely(num_pairs, batch_size):
    plan = lm_windows.rows(num_pairs, batch_size, block=8)
    covered = [range(*ends) for ends in zip(plan.counted, plan.end, strict=True)]
    assert [pair for stretch in covered for pair in stretch] == list(range(num_pairs))
    assert np.ptp([len(stretch) for stretch in covered]) <= 1
    assert np.array_equal(plan.start, plan.counted)
    assert (plan.num_blocks - 1) * 8 < max(1, *map(len, covered)) <= plan.num_blocks * 8


@pytest.mark.parametrize("num_pairs", [1, 7, 8, 100, 1003])
@pytest.mark.parametrize(("stride", "context"), [(8, 8), (3, 20), (1, 7), (50, 5), (9, 0)])
def test_strided_windows_count_each_pair_once_behind_the_promised_context(
    num_pairs, stride, context
):
    plan = lm_windows.strided(num_pairs, stride, context, block=8)
    seen = []
    for start, counted, end in zip(plan.start, plan.counted, plan.end, strict=True):
        assert end - start <= plan.num_blocks * 8
        for pair in range(counted, end):
            assert pair - start >= min(pair, context)
            seen.append(pair)
    assert seen == list(range(num_pairs))
    assert (plan.num_blocks - 1) * 8 < context + stride <= plan.num_blocks * 8
