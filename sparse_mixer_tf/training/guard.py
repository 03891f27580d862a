"""What ends a run early: a signal."""

import signal
import threading


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
