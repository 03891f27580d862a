"""Settings that every test shares: quiet TensorFlow, two CPU devices, reference data."""

import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
# With libtpu installed, JAX would look for a TPU first.
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

import sparse_mixer_tf  # noqa: E402, F401

if os.environ.get("KERAS_BACKEND", "tensorflow") == "tensorflow":
    # After the package, which decides about oneDNN.
    import tensorflow as tf

    # Two CPU devices, always, so that every test of a strategy runs on any machine. This must come
    # before TensorFlow looks at its devices.
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
    )

SHARED = Path(__file__).resolve().parents[2] / "shared"

# The same examples in every run. `HYPOTHESIS_PROFILE=thorough` is the profile of `make test-all`.
settings.register_profile("quick", max_examples=10, deadline=None, derandomize=True, database=None)
settings.register_profile("thorough", settings.get_profile("quick"), max_examples=100)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


def pytest_collection_modifyitems(items):
    """Refuse a test that is left to `make test-all` without a reason."""
    for item in items:
        for mark in item.iter_markers("long"):
            if len(mark.args) != 1 or len(str(mark.args[0]).split()) < 3:
                raise pytest.UsageError(f"{item.nodeid}: give mark.long a reason in words")


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder `../shared` of data; skip the test where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"no shared data: {SHARED} does not exist")
    return SHARED
