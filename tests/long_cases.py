"""Parameters of a test that are left to `make test-all`."""

from collections.abc import Iterable

import pytest

FURTHER = pytest.mark.long("further cases of a law that quicker cases show")


def long_cases(*cases) -> list:
    """Return test parameters marked `long`; a tuple is one set of parameters."""
    return [
        pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=FURTHER)
        for case in cases
    ]


def quick_among(quick: Iterable, cases: Iterable) -> list:
    """Return all cases, those that are not in `quick` marked `long`."""
    quick, cases = set(quick), list(cases)
    unknown = quick - set(cases)
    if unknown:
        raise ValueError(f"no such cases: {sorted(map(str, unknown))}")
    return [case if case in quick else long_cases(case)[0] for case in cases]
