"""What ends a run early: a signal, or a request that stands for one."""

import signal
import threading


class Interruption:
    """Remembers SIGTERM and SIGINT, so that the loop can finish its step and save.

    Use as a context manager; `requested` is the signal's name, or None. `request` does as a signal
    does, from any thread. A second signal ends the process at once. Outside the main thread signals
    cannot be caught and nothing is changed.
    """

    def __init__(self):
        self.requested: str | None = None
        self._before = {}

    def request(self, name: str) -> None:
        self.requested = name

    def _received(self, number, frame):
        self.request(signal.Signals(number).name)
        self._restore()

    def _restore(self):
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._received)
        return self

    def __exit__(self, *_):
        self._restore()
