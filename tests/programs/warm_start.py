"""Programs in processes that have their libraries already: importing takes longer than most tests.

A server imports the libraries once and makes a copy of itself, with nothing of the project in it,
for each program. What is special about a process that somebody starts, its first lines and its
signals, needs one that is started (`Programs.start`).
"""

import atexit
import multiprocessing
import os
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

LIBRARIES = ["tensorflow", "keras", "keras_hub", "tensorflow_text", "tensorflow_datasets"]

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(LIBRARIES)


def run(
    module: str, arguments: Sequence[str], folder: Path, environment: dict[str, str], output: Path
) -> int:
    """Runs `python -m module arguments` in a folder; its exit code.

    Args:
        output: file for what it prints on both streams.

    Raises:
        TimeoutError: it takes longer than ten minutes.
    """
    process = _context.Process(
        target=_become, args=(module, arguments, folder, environment, output)
    )
    process.start()
    process.join(600)
    if process.exitcode is None:
        process.kill()
        raise TimeoutError(f"python -m {module} {' '.join(arguments)}:\n{output.read_text()}")
    return process.exitcode


def _become(module, arguments, folder, environment, output):
    with output.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        atexit._run_exitfuncs()
