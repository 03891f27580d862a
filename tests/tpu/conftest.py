"""The TPU compiler, where it is installed."""

import importlib.util

import pytest


@pytest.fixture(scope="session", autouse=False)
def compiler():
    """Skips the test where jax or libtpu is missing."""
    for package in ("jax", "libtpu"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed: pip install -r requirements-tpu-compile.txt")
