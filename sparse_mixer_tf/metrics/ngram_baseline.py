"""An n-gram model of symbols: the baseline that a language model must beat."""

from typing import NamedTuple

import numpy as np

_LONGEST_CODE = 63


class _Table(NamedTuple):
    """The n-grams of one length, in order of their codes, and their contexts.

    Attributes:
        grams: uint64 [grams]; an n-gram as a number in base `size`.
        discounted: float64 [grams]; its probability behind its context, less the discount.
        contexts: uint64 [contexts]; likewise, the symbols before the last one.
        backoff: float64 [contexts]; what the discounts leave to shorter contexts.
    """

    grams: np.ndarray
    discounted: np.ndarray
    contexts: np.ndarray
    backoff: np.ndarray


def ngram_bits_per_symbol(train: np.ndarray, validation: np.ndarray, order: int = 5) -> float:
    """Bits a symbol of an interpolated, modified Kneser-Ney model.

    The first symbol of the validation text is not scored, as nothing precedes it.

    Args:
        train: ids, [symbols].
        validation: ids, [symbols]; two at least.
        order: the longest n-gram; its last symbol is predicted from those before.

    Raises:
        ValueError: the vocabulary is too large for n-grams of this order.

    References:
        Chen and Goodman, "An empirical study of smoothing techniques for language modeling", 1998.
    """
    size = int(max(train.max(), validation.max())) + 1
    if order * np.log2(size) >= _LONGEST_CODE:
        raise ValueError(f"{order}-grams of {size} symbols are too many; this is for characters")
    probability = np.full(len(validation), 1.0 / size)
    tables = _tables(train, size, order)
    for length in range(1, min(len(tables), len(validation)) + 1):
        codes = _codes(validation, size, length)
        later = probability[length - 1 :]
        later[:] = _interpolate(tables[length], codes, size, later)
    return float(-np.mean(np.log2(probability[1:])))


def _codes(ids: np.ndarray, size: int, length: int) -> np.ndarray:
    """The n-gram that ends at each position from length - 1 on, uint64."""
    codes = np.zeros(len(ids) - length + 1, np.uint64)
    for i in range(length):
        codes *= np.uint64(size)
        codes += ids[i : len(ids) - length + 1 + i].astype(np.uint64)
    return codes


def _tables(train: np.ndarray, size: int, order: int) -> dict[int, _Table]:
    grams, counts = np.unique(_codes(train, size, min(order, len(train))), return_counts=True)
    tables = {}
    for length in range(min(order, len(train)), 0, -1):
        tables[length] = _table(grams, counts, size)
        # Of a shorter n-gram it counts behind how many symbols it has been seen.
        grams, counts = np.unique(
            grams % np.uint64(size) ** np.uint64(length - 1), return_counts=True
        )
    return tables


def _table(grams: np.ndarray, counts: np.ndarray, size: int) -> _Table:
    discounts = _discounts(counts)[np.minimum(counts, 3)]
    contexts, first = np.unique(grams // np.uint64(size), return_index=True)
    totals = np.add.reduceat(counts, first)
    repeats = np.diff(np.append(first, len(grams)))
    return _Table(
        grams,
        (counts - discounts) / np.repeat(totals, repeats),
        contexts,
        np.add.reduceat(discounts, first) / totals,
    )


def _discounts(counts: np.ndarray) -> np.ndarray:
    """Return the discounts of n-grams seen never, once, twice, and more often, [4]."""
    seen = np.bincount(np.minimum(counts, 5), minlength=5)[1:5].astype(np.float64)
    if not seen.all():
        # Too small a text to estimate them from.
        return np.array([0.0, 0.5, 0.5, 0.5])
    rate = seen[0] / (seen[0] + 2 * seen[1])
    times = np.arange(1, 4)
    return np.concatenate(
        [[0.0], np.clip(times - (times + 1) * rate * seen[1:] / seen[:-1], 0, times)]
    )


def _interpolate(table: _Table, codes: np.ndarray, size: int, shorter: np.ndarray) -> np.ndarray:
    gram, is_seen = _find(table.grams, codes)
    context, is_context = _find(table.contexts, codes // np.uint64(size))
    higher = np.where(is_seen, table.discounted[gram], 0.0)
    return np.where(is_context, higher + table.backoff[context] * shorter, shorter)


def _find(table: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    index = np.minimum(np.searchsorted(table, codes), len(table) - 1)
    return index, table[index] == codes
