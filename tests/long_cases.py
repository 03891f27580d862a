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
    unknown = quick - {case for case in cases if isinstance(case, str | int)}
    if unknown:
        raise ValueError(f"no such cases: {sorted(map(str, unknown))}")
    # A case that is a set of parameters already keeps its own mark.
    is_marked = [hasattr(case, "marks") for case in cases]
    return [
        case if marked or case in quick else long_cases(case)[0]
        for case, marked in zip(cases, is_marked, strict=True)
    ]
