"""The early end of a run: by a signal, or by a request that stands for one.

Hearing of it before a machine of Google's cloud is taken away: its metadata server says so.

A preempted machine, or one that is about to be stopped for maintenance, tells so in two values that
any process on it may read. Other schedulers send SIGTERM, which needs no watching. See "Query
metadata" and "Monitor host maintenance" in the documentation of Compute Engine; TensorFlow's
`PreemptionCheckpointHandler` reads the first value alone.
"""

import http.client
import os
import signal
import threading
import urllib.request
from collections.abc import Callable


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


# Value: what it must begin with for the machine to be taken away; a live migration goes unnoticed.
NOTICES = {"maintenance-event": "TERMINATE", "preempted": "TRUE"}
_TIMEOUT_SECONDS, _LONGEST_VALUE = 2.0, 100
# Preemption leaves 30 seconds.
EVERY_SECONDS = 5.0
# As Google's own libraries have it.
_ADDRESS_VARIABLE, _ADDRESS = "GCE_METADATA_HOST", "metadata.google.internal"
# The server is the machine's own: no proxy knows it.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def notice() -> str | None:
    """Return the metadata server's notice, as `preempted=TRUE`; None if the machine stays.

    Raises:
        OSError, http.client.HTTPException: no such server, or it does not answer in time.
    """
    address = os.environ.get(_ADDRESS_VARIABLE, _ADDRESS)
    for name, taken_away in NOTICES.items():
        request = urllib.request.Request(
            f"http://{address}/computeMetadata/v1/instance/{name}",
            headers={"Metadata-Flavor": "Google"},
        )
        with _OPENER.open(request, timeout=_TIMEOUT_SECONDS) as answer:
            value = answer.read(_LONGEST_VALUE).decode("utf-8", "replace").strip()
        if value.startswith(taken_away):
            return f"{name}={value}"
    return None


class MaintenanceWatch:
    """Asks now and then in a thread of its own; use as a context manager.

    Where the first question finds no server, nothing is watched: the machine is another one.

    Args:
        announce: called once, with what is announced.
        say: told once if nothing can be watched.
        every_seconds: between two questions.
    """

    def __init__(
        self,
        announce: Callable[[str], None],
        say: Callable[[str], None] = print,
        every_seconds: float = EVERY_SECONDS,
    ):
        self._announce, self._say, self._every_seconds = announce, say, every_seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="maintenance", daemon=True)

    def _watch(self) -> None:
        answered = False
        while True:
            try:
                announced = notice()
                answered = True
            except (OSError, http.client.HTTPException) as error:
                if not answered:
                    self._say(f"maintenance notices are not watched: no metadata server ({error})")
                    return
                # It is restarted now and then.
                announced = None
            if self._over.is_set():
                return
            if announced is not None:
                self._announce(announced)
                return
            if self._over.wait(self._every_seconds):
                return

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join(_TIMEOUT_SECONDS)
