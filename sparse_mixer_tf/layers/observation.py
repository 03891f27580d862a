"""Looking at the routing inside a model without changing what the model returns."""

import contextlib
import threading

_active = threading.local()


@contextlib.contextmanager
def observe_routing():
    """Collects what every mixture-of-experts layer called inside the block reports.

    Yields:
        A list that gets one `(path of the layer, dict of metric tensors)` for each call. Inside a
        compiled function the tensors belong to that function: return what is needed of them.
    """
    outer = getattr(_active, "reports", None)
    _active.reports = reports = []
    try:
        yield reports
    finally:
        _active.reports = outer


def observed() -> bool:
    """Whether somebody observes, so that metrics are worth their arithmetic."""
    return getattr(_active, "reports", None) is not None


def report_routing(path: str, metrics: dict):
    """Hands one layer's metrics to the surrounding `observe_routing` block, if any."""
    if observed():
        _active.reports.append((path, metrics))
