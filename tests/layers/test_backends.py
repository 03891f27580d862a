"""The layers give the same numbers under TensorFlow and JAX, compiled and with dropout on."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.layers.numbers_of_layers import numbers

PROJECT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="jax is not installed")
def test_jax_gives_the_numbers_of_tensorflow(tmp_path):
    path = tmp_path / "jax.npz"
    # Compiled without optimisation, in half the time.
    jax = {
        "KERAS_BACKEND": "jax",
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_backend_optimization_level=0",
    }
    subprocess.run(
        [sys.executable, "-m", "tests.layers.numbers_of_layers", str(path)],
        env={**os.environ, **jax},
        cwd=PROJECT,
        check=True,
        timeout=300,
    )
    ours, theirs = numbers(), np.load(path)
    assert set(ours) == set(theirs.files)
    for name, expected in ours.items():
        # Some gradients, that of a key's bias for one, are zero but for rounding.
        scale = max(np.abs(expected).max(), 0.5)
        np.testing.assert_allclose(theirs[name] / scale, expected / scale, atol=2e-5, err_msg=name)
