import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipelines import segments

lengths = st.lists(st.lists(st.integers(0, 30), min_size=3, max_size=3), min_size=1, max_size=6)


def _one_token_at_a_time(row: list[int], budget: int) -> list[int]:
    row = list(row)
    while sum(row) > budget:
        row[int(np.argmax(row))] -= 1
    return row


@given(lengths, st.integers(3, 60))
def test_the_longest_segment_is_cut_first(rows, budget):
    kept = segments.longest_first(np.array(rows), budget)
    for row, found in zip(rows, kept, strict=True):
        # Where two are equally long, which of them loses a token more is a matter of taste.
        assert sorted(found) == sorted(_one_token_at_a_time(row, budget))
        assert all(found <= row)


@given(lengths, st.integers(1, 60))
def test_the_right_end_of_the_concatenation_is_cut(rows, budget):
    kept = segments.from_right(np.array(rows), budget)
    for row, found in zip(rows, kept, strict=True):
        joined = [n for n, size in enumerate(row) for n in [n] * size + [-1]][:budget]
        assert [joined.count(n) for n in range(3)] == found.tolist()
