"""Python with JAX as Keras's backend, in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

from tests.optional import need_packages

PROJECT = Path(__file__).parents[1]
# Compiled without optimisation, in half the time.
JAX = {
    "KERAS_BACKEND": "jax",
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": "--xla_backend_optimization_level=0",
}


def under_jax(*arguments: str) -> str:
    """Return the output of a Python process under JAX, which must end well."""
    need_packages("jax")
    ended = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, **JAX},
        cwd=PROJECT,
        timeout=1800,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout
