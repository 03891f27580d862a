"""The kind of device that layers are made for, where the faster way depends on it.

Whether arrays may be as long as their values say; compilers want every shape beforehand.
"""

import contextlib
import os
import threading

import keras

_active = threading.local()


@contextlib.contextmanager
def made_for(kind: str):
    """Layers built inside the block are for a device that this machine need not have.

    Args:
        kind: `cpu`, `gpu` or `tpu`.
    """
    outer = getattr(_active, "kind", None)
    _active.kind = kind
    try:
        yield
    finally:
        _active.kind = outer


def device_kind() -> str:
    """`cpu`, `gpu` or `tpu`: of the surrounding `made_for` block, else what Keras computes on."""
    kind = getattr(_active, "kind", None)
    return kind or keras.distribution.list_devices()[0].split(":")[0]


def cores() -> int:
    """Cores of the CPU that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


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
    """Return whether the code runs inside such a block."""
    return getattr(_allowed, "allowed", False)
