"""Checkpoints written beside the training, which waits only while the values are copied."""

import threading
from collections.abc import Callable

from absl import logging

from sparse_mixer_tf.training.checkpoint import CheckpointError, Checkpoints
from sparse_mixer_tf.training.retry import with_retries


class Saver:
    """Writes one checkpoint at a time in a thread of its own.

    A checkpoint that cannot be written, after some attempts, is a warning: the older ones stay, the
    run goes on, and the next one is due as always. Only the last one of a run must succeed.

    Args:
        checkpoints: what to save, and where.
        writes: False for a process that takes part in gathering the values but writes nothing.
        retry: `(action, what) -> result`.
    """

    def __init__(
        self, checkpoints: Checkpoints, writes: bool = True, retry: Callable = with_retries
    ):
        self.checkpoints, self.writes, self._retry = checkpoints, writes, retry
        self._thread: threading.Thread | None = None
        self._failure: Exception | None = None

    def save(self, step: int, facts: dict, score: float | None = None) -> None:
        """Copies all values and returns; the writing goes on. Waits for the one before."""
        self.wait()
        arrays = self.checkpoints.snapshot()
        if not self.writes:
            return
        # Not a daemon: a process that ends otherwise would cut the writing off.
        self._thread = threading.Thread(
            target=self._write, args=(step, arrays, facts, score), name=f"checkpoint {step}"
        )
        self._thread.start()

    def wait(self) -> None:
        """Waits until nothing is being written."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._failure is not None and not isinstance(self._failure, OSError):
            raise self._failure

    def finish(self) -> None:
        """Waits, and insists that the last checkpoint was written.

        Raises:
            CheckpointError: it was not; names the newest one that is there.
        """
        self.wait()
        if self._failure is not None:
            there = self.checkpoints.steps()
            newest = f"it continues at step {there[-1]:,}" if there else "it starts anew"
            raise CheckpointError(
                f"the last checkpoint could not be written to {self.checkpoints.folder} "
                f"({self._failure}); make room there and run the same command again: {newest}"
            ) from self._failure

    def _write(self, step, arrays, facts, score) -> None:
        try:
            self._retry(
                lambda: self.checkpoints.write(step, arrays, facts, score),
                f"writing the checkpoint of step {step:,}",
            )
            self._failure = None
        except OSError as error:
            logging.warning(
                "the checkpoint of step %d could not be written to %s (%s); training goes on, "
                "older checkpoints stay",
                *(step, self.checkpoints.folder, error),
            )
            self._failure = error
        except Exception as error:  # Raised where the training waits, not lost with the thread.
            self._failure = error
