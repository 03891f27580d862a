import numpy as np
import pytest

from pipelines import windows


@pytest.mark.parametrize("num_pairs", [1, 2, 15, 16, 17, 100, 1003])
@pytest.mark.parametrize("batch_size", [1, 3, 4, 32])
def test_rows_divide_a_text_evenly_and_completely(num_pairs, batch_size):
    plan = windows.rows(num_pairs, batch_size, block=8)
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
    plan = windows.strided(num_pairs, stride, context, block=8)
    seen = []
    for start, counted, end in zip(plan.start, plan.counted, plan.end, strict=True):
        assert end - start <= plan.num_blocks * 8
        for pair in range(counted, end):
            assert pair - start >= min(pair, context)
            seen.append(pair)
    assert seen == list(range(num_pairs))
    assert (plan.num_blocks - 1) * 8 < context + stride <= plan.num_blocks * 8
