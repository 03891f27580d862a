"""How much of each segment of an example fits: a whole split at once."""

import numpy as np


def longest_first(lengths: np.ndarray, budget: int) -> np.ndarray:
    """Lengths after the longest segment has been shortened until all fit.

    Args:
        lengths: int64 [examples, segments].
        budget: tokens that all segments of an example may have together.

    Returns:
        int64 [examples, segments]; rows that fit are unchanged, the others sum to the budget.
    """
    examples, segments = lengths.shape
    order = np.argsort(lengths, axis=1, kind="stable")
    kept = np.empty_like(lengths)
    left = np.full(examples, budget, np.int64)
    rows = np.arange(examples)
    # From the shortest: each takes what it needs, at most an even share of what is left.
    for rank in range(segments):
        column = order[:, rank]
        taken = np.minimum(lengths[rows, column], left // (segments - rank))
        kept[rows, column] = taken
        left -= taken
    return kept


def from_right(lengths: np.ndarray, budget: int) -> np.ndarray:
    """Lengths after the concatenation has been cut from the right, as the original does.

    Separators count as tokens of the concatenation there, so that the last one, or more of them,
    can be lost; here they are part of no segment, and `budget` does not hold them.

    Args:
        lengths: int64 [examples, segments].
        budget: tokens of a row besides [CLS].

    Returns:
        int64 [examples, segments]; as many tokens of each as come before the cut.
    """
    ends = np.cumsum(lengths + 1, axis=1)
    starts = ends - lengths - 1
    return np.clip(budget - starts, 0, lengths)
