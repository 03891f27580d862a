"""Looking inside a model without changing what the model returns; nobody looks, nothing costs."""

import contextlib
import threading

_active = threading.local()


def observe_routing():
    """Collects what every mixture-of-experts layer called inside the block reports.

    Yields:
        A list that gets one `(path of the layer, dict of metric tensors)` for each call. Inside a
        compiled function the tensors belong to that function: return what is needed of them.
    """
    return _observe("routing")


def observe_assignments():
    """Collects which experts took which tokens in every mixture-of-experts layer.

    Yields:
        A list that gets one `(path of the layer, gates)` for each call; gates are float32
        [batch, seq, num_experts], the weight with which an expert's output enters a token's, and 0
        where the expert did not take the token.
    """
    return _observe("assignments")


def observe_attention():
    """Collects the probabilities of every attention layer, before dropout.

    Yields:
        A list that gets one `(path of the layer, probabilities)` for each call: of bidirectional
        attention [batch, heads, seq, seq], of relative attention [batch, heads, block, span], the
        nearest token last.
    """
    return _observe("attention")


def observed(what: str = "routing") -> bool:
    """Return whether a block around the call observes `routing`, `assignments` or `attention`."""
    return getattr(_active, what, None) is not None


def report_routing(path: str, metrics: dict):
    """Hands one layer's metrics to the surrounding `observe_routing` block, if any."""
    report("routing", path, metrics)


def report(what: str, path: str, value):
    """Hands what a layer did to the surrounding block that observes it, if any."""
    if observed(what):
        getattr(_active, what).append((path, value))


@contextlib.contextmanager
def _observe(what: str):
    outer = getattr(_active, what, None)
    reports = []
    setattr(_active, what, reports)
    try:
        yield reports
    finally:
        setattr(_active, what, outer)
