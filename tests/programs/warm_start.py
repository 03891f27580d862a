"""Programs in processes that have their modules already: importing takes longer than most tests.

A server imports libraries and the project once and makes a copy of itself for each program. It
computes nothing, since threads of TensorFlow would not come along.
"""

import atexit
import multiprocessing
import os
import runpy
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

# The programs themselves are left out: two of them define a flag of the same name.
MODULES = [
    "pipelines.sources.enwik8",
    "pipelines.sources.python_docs",
    "sparse_mixer_tf.conversion.huggingface.model",
    "sparse_mixer_tf.conversion.workdir_reader",
    "sparse_mixer_tf.cost_model",
    "sparse_mixer_tf.experiments.benchmark_table",
    "sparse_mixer_tf.experiments.scoring",
    "sparse_mixer_tf.experiments.sweep",
    "sparse_mixer_tf.reports.build",
    "sparse_mixer_tf.serving",
    "sparse_mixer_tf.serving.parity.subprocess",
    "sparse_mixer_tf.serving.preset",
    "sparse_mixer_tf.tpu.programs",
    "sparse_mixer_tf.training.loop",
    "tensorflow_datasets",
    "tensorflow_text",
    "tests.programs.shortcuts",
]

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(MODULES)


class Program:
    """`python -m module arguments` that runs in a folder, used like a `subprocess.Popen`.

    Args:
        shortcuts: called in the new process before the module is run.

    Attributes:
        stdout: what it prints on both streams, as text; ends with the program.
    """

    def __init__(
        self,
        module: str,
        arguments: Sequence[str],
        folder: Path,
        environment: dict[str, str],
        shortcuts: Sequence[Callable[[], None]] = (),
    ):
        self.name = " ".join([module, *arguments])
        receiver, sender = _context.Pipe(duplex=False)
        self._process = _context.Process(
            target=_become, args=(module, arguments, folder, environment, shortcuts, sender)
        )
        self._process.start()
        # Else there would be no end of what is printed.
        sender.close()
        self.stdout = os.fdopen(os.dup(receiver.fileno()), "r", errors="replace")
        receiver.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self._process.kill()

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self.name, timeout)
        return self.returncode

    def communicate(self, timeout: float = 600) -> tuple[str, None]:
        """All that it still prints, once it has ended; what takes longer is killed."""
        clock = threading.Timer(timeout, self.kill)
        clock.start()
        printed = self.stdout.read()
        clock.cancel()
        self.stdout.close()
        self.wait(10)
        return printed, None


def _become(module, arguments, folder, environment, shortcuts, sender):
    for stream in (1, 2):
        os.dup2(sender.fileno(), stream)
    sender.close()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [module, *arguments]
    try:
        for shortcut in shortcuts:
            shortcut()
        # Else runpy would warn of a module that is imported already.
        sys.modules.pop(module, None)
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        atexit._run_exitfuncs()
