"""Has modules compiled for a TPU, in a process that has JAX and the compiler."""

import importlib.util
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from sparse_mixer_tf.settings import SettingsError
from sparse_mixer_tf.tpu.chips import Topology
from sparse_mixer_tf.tpu.lowering import place

_PROCESS = Path(__file__).with_name("compiler_process.py")


class Compiled(NamedTuple):
    """The compiler's figures of one program, for one chip.

    Attributes:
        flops: floating-point operations, those of a loop counted for one turn.
        bytes: read and written by each op, in HBM or on the chip, counted the same way.
        memory: bytes of HBM while it runs: arguments, results that do not replace an argument, what
            is kept in between, and its code.
        loops: how many there are.
    """

    flops: float
    bytes: float
    memory: float
    loops: int


class Refused(NamedTuple):
    """A program that the compiler would not have.

    Attributes:
        kind: `dynamic`: a size depends on values; `memory`: it does not fit; `op`: all else.
        reason: one line, and who made the op that is to blame.
    """

    kind: str
    reason: str


def check_installed() -> None:
    """Raises SettingsError, with the command that helps, where there is no compiler."""
    missing = [name for name in ("jax", "libtpu") if importlib.util.find_spec(name) is None]
    if missing:
        raise SettingsError(
            f"--tpu_topology needs {' and '.join(missing)}, which is not installed; "
            "pip install -r requirements-tpu-compile.txt"
        )


def compile_modules(modules: list[bytes], topology: Topology) -> list[Compiled | Refused]:
    """Compiles modules of `lowering.lower`, each for one chip.

    Raises:
        SettingsError: there is no compiler, or it does not know the topology.
    """
    check_installed()
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number}.stablehlo" for number in range(len(modules))]
        for path, module in zip(paths, modules, strict=True):
            path.write_bytes(module)
        # By its path: importing the package would bring TensorFlow into the process.
        command = [sys.executable, str(_PROCESS), topology.name, *map(str, paths)]
        done = subprocess.run(command, capture_output=True, text=True)
    answers = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if len(answers) != len(modules):
        said = [line for line in done.stderr.splitlines() if line.strip()]
        raise SettingsError(
            f"--tpu_topology={topology.name}: the TPU compiler failed: {said[-1] if said else ''}"
        )
    return [_result(answer) for answer in answers]


def _result(answer: dict) -> Compiled | Refused:
    if "refused" in answer:
        reason = answer["reason"]
        if answer["location"]:
            reason = f"{answer['op']} of {place(answer['location'])}: {reason}"
        return Refused(answer["refused"], reason)
    size = answer["memory"]
    used = size["argument"] + size["output"] - size["alias"] + size["temp"]
    used += size["generated_code"]
    return Compiled(answer["flops"], answer["bytes"], used, answer["loops"])
