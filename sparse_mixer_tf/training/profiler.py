"""A trace of some steps, for TensorBoard's profiler."""

from pathlib import Path

import tensorflow as tf


class Profiler:
    """Traces the steps from one to another; told of every step before it begins.

    A run that starts behind the first of them traces nothing.

    Args:
        folder: `tensorboard/`; the trace goes into `plugins/profile` there.
        steps: `START:STOP`, as the flag has it; None traces nothing.
    """

    def __init__(self, folder: Path, steps: str | None):
        self._folder = folder
        self._first, self._last = map(int, steps.split(":")) if steps else (-1, -1)
        self._running = False

    def before(self, step: int) -> None:
        """Begins at the first step and ends at the last."""
        if step == self._first and not self._running:
            tf.profiler.experimental.start(str(self._folder))
            self._running = True
        elif step == self._last:
            self.finish()

    def finish(self) -> None:
        """Ends what is still traced, as where the run ends first."""
        if self._running:
            tf.profiler.experimental.stop()
            self._running = False
