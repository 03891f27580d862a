"""What ends a run early: a signal, or a number that is no number."""

import math
import signal
import threading


class NonFiniteLoss(ArithmeticError):
    """The loss or the gradient is NaN or infinite."""


def check_finite(step: int, metrics: dict) -> None:
    """Stops training before broken weights are saved.

    Raises:
        NonFiniteLoss: naming the step and the metric.
    """
    for name in ("loss", "gradient_norm"):
        if not math.isfinite(metrics[name]):
            raise NonFiniteLoss(
                f"{name} is {metrics[name]} at step {step}; nothing was saved since the last "
                "checkpoint. A lower --learning_rate, more --warmup_steps or --max_gradient_norm=1 "
                "helps"
            )


class Interruption:
    """Remembers SIGTERM and SIGINT, so that the loop can finish its step and save.

    Use as a context manager; `requested` is the signal's name, or None. A second signal ends the
    process at once. Outside the main thread signals cannot be caught and nothing is changed.
    """

    def __init__(self):
        self.requested: str | None = None
        self._before = {}

    def _request(self, number, frame):
        self.requested = signal.Signals(number).name
        self._restore()

    def _restore(self):
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._request)
        return self

    def __exit__(self, *_):
        self._restore()
