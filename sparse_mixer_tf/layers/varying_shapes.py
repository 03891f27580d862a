"""Whether arrays may be as long as their values say; compilers want every shape beforehand."""

import contextlib
import threading

_allowed = threading.local()


@contextlib.contextmanager
def varying_shapes(allowed: bool = True):
    """Functions traced inside the block are not compiled by XLA, so that shapes may vary.

    Args:
        allowed: False changes nothing.
    """
    outer = shapes_may_vary()
    _allowed.allowed = outer or allowed
    try:
        yield
    finally:
        _allowed.allowed = outer


def shapes_may_vary() -> bool:
    """Whether the code runs inside such a block."""
    return getattr(_allowed, "allowed", False)
