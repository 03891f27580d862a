"""A progress bar on stderr for passes whose end is known as a fraction."""

import sys
import time

from tqdm import tqdm

_FORMAT = "{desc} {percentage:3.0f}%|{bar:24}| [{elapsed}, {remaining} left{postfix}]"


class Progress:
    """Shows how far a pass over documents is, its speed, and the time that is left.

    with Progress("tokenising") as progress:
        progress.add(documents=1, characters=1000, fraction=0.5)
    """

    def __init__(self, title: str):
        # In a log file each refresh is a line of its own: one in ten seconds is enough.
        interval = 0.2 if sys.stderr.isatty() else 10.0
        self._bar = tqdm(
            total=1.0, desc=title, bar_format=_FORMAT, mininterval=interval, file=sys.stderr
        )
        self._start = time.monotonic()
        self._documents = self._characters = 0

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, error_type, *_) -> None:
        if error_type is None:
            self.show(1.0)
        self._bar.close()

    def add(self, documents: int, characters: int, fraction: float) -> None:
        """Adds what was done.

        Args:
            documents: how many more.
            characters: how many more.
            fraction: of the whole pass that is done now.
        """
        self._documents += documents
        self._characters += characters
        megabytes = self._characters / 1e6
        speed = megabytes / max(time.monotonic() - self._start, 1e-9)
        note = f"{self._documents:,} documents, {megabytes:,.1f} MB, {speed:.1f} MB/s"
        self.show(min(fraction, 1.0), note)

    def show(self, fraction: float, note: str | None = None) -> None:
        """Moves the bar.

        Args:
            fraction: of the whole pass that is done now.
            note: what to write beside it; the last one stays where None.
        """
        if note is not None:
            self._bar.set_postfix_str(note, refresh=False)
        self._bar.update(max(0.0, fraction - self._bar.n))
