"""Changes to a program under test, made in its own process before it begins."""

import io
import os
import resource
import warnings

import tensorflow as tf
from PIL import Image

from sparse_mixer_tf import serving
from sparse_mixer_tf.reports import plots
from sparse_mixer_tf.serving.ops import packing
from sparse_mixer_tf.serving.parity.subprocess import ReloadError
from sparse_mixer_tf.training.train_step import TrainStep


def without_pictures() -> None:
    """Draw dots in the place of pictures, whose rendering takes longer than a small training."""
    dot = io.BytesIO()
    Image.new("P", (1, 1)).save(dot, "png")
    plots.png = lambda figure: dot.getvalue()


def eagerly() -> None:
    """Run functions without tracing them, which takes as long as some twenty steps."""
    tf.config.run_functions_eagerly(True)
    warnings.filterwarnings("ignore", message="Even though the `tf.config.experimental_run")


def signalled(step: int, number: int) -> None:
    """Send this process a signal just before a training step is computed."""
    compute = TrainStep.__call__

    def call(self, batch, now):
        if now == step:
            os.kill(os.getpid(), number)
        return compute(self, batch, now)

    TrainStep.__call__ = call


def with_little_room(size: int) -> None:
    """Let writes beyond so many bytes of a file fail as they do on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def packing_otherwise() -> None:
    """Read the ids of a text in reverse: what is exported was then not read from the run."""
    pack = packing.Packer.pack_masked

    def other(self, text):
        rows = pack(self, text)
        return rows | {"token_ids": rows["token_ids"][:, ::-1]}

    packing.Packer.pack_masked = other


def serving_fails() -> None:
    """Let what is served not load."""

    def serve(*_):
        raise ReloadError("the SavedModel does not load")

    serving.serve = serve
