"""Asking a SavedModel in a fresh process that has TensorFlow and nothing of this package."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from sparse_mixer_tf.serving.parity import worker


class Request(NamedTuple):
    """A request to the fresh process.

    Attributes:
        signature: its name.
        inputs: arrays or lists, by name.
        repeats: how often the same is asked again to take the time.
    """

    signature: str
    inputs: dict
    repeats: int = 0


class Answer(NamedTuple):
    """The answer of the fresh process.

    Attributes:
        outputs: arrays by name.
        seconds: median over the repeats; None without any.
    """

    outputs: dict[str, np.ndarray]
    seconds: float | None


class ReloadError(RuntimeError):
    """The SavedModel does not load, or does not answer, outside the process that wrote it."""


def ask(saved_model: Path, requests: Sequence[Request]) -> list[Answer]:
    """The answers of a SavedModel that a fresh process has loaded.

    Raises:
        ReloadError: the process failed.
    """
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "requests"
        for number, request in enumerate(requests):
            _write(folder / f"{number:05d}", request)
        source = Path(worker.__file__).read_text("utf-8")
        done = subprocess.run(
            # By its text and from an empty folder, so that it cannot find this package.
            [sys.executable, "-c", source, str(saved_model.resolve()), str(folder)],
            cwd=place,
            env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_FORCE_GPU_ALLOW_GROWTH": "true"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode:
            raise ReloadError(f"{saved_model} fails in a fresh process:\n{done.stdout[-2000:]}")
        return [_read(folder / f"{number:05d}") for number in range(len(requests))]


def _write(folder: Path, request: Request) -> None:
    folder.mkdir(parents=True)
    tensors = {name: tf.constant(value) for name, value in request.inputs.items()}
    for name, value in tensors.items():
        (folder / f"{name}.input").write_bytes(tf.io.serialize_tensor(value).numpy())
    (folder / "request.json").write_text(
        json.dumps(
            {
                "signature": request.signature,
                "inputs": {name: value.dtype.name for name, value in tensors.items()},
                "repeats": request.repeats,
            }
        )
    )


def _read(folder: Path) -> Answer:
    answer = json.loads((folder / "answer.json").read_text())
    outputs = {
        name: tf.io.parse_tensor((folder / f"{name}.output").read_bytes(), dtype).numpy()
        for name, dtype in answer["outputs"].items()
    }
    return Answer(outputs, answer.get("seconds"))
