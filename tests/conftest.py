"""What every test shares: quiet TensorFlow and the folder of reference data beside the project."""

import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
# With libtpu installed, JAX would look for a TPU first.
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import pytest  # noqa: E402

import sparse_mixer_tf  # noqa: E402, F401

if os.environ.get("KERAS_BACKEND", "tensorflow") == "tensorflow":
    # After the package, which settles how it multiplies.
    import tensorflow as tf

    # Two CPU devices, always, so that every test of a strategy runs on any machine. This must come
    # before anything else makes TensorFlow look at its devices.
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
    )

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder `../shared` of reference numbers and data; skips the test where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"no reference data: {SHARED} does not exist")
    return SHARED
