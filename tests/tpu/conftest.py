"""The TPU compiler, where it is installed."""

import pytest

from tests.optional import need_packages


@pytest.fixture(scope="session", autouse=False)
def compiler():
    """Skips the test where jax or libtpu is missing."""
    need_packages("jax", "libtpu")
