"""Efficient sparse text models in Keras 3: Sparse Mixers and Brainformers."""

import contextlib
import os
import platform
import sys

# TensorFlow leaves oneDNN off on CPUs without AVX-512, where a product gains up to half by it too.
# It decides when it is imported: where that has happened before, nothing changes.
if platform.machine().lower() in ("x86_64", "amd64"):
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

# What XLA may take of a function on a CPU, once `tf.config.optimizer.set_jit` lets it: pointwise
# operations, reductions, and what moves numbers about; products and softmax are faster in oneDNN.
# It is read once, when the first function runs; the user's own flags come behind, and the last
# counts.
_CLUSTERS = "--tf_xla_cpu_global_jit --tf_xla_ops_to_cluster=PW,RED,MISC"
_xla_flags = os.environ.get("TF_XLA_FLAGS", "")
if not _xla_flags.startswith(_CLUSTERS):
    os.environ["TF_XLA_FLAGS"] = f"{_CLUSTERS} {_xla_flags}".strip()


def _import_tensorflow_quietly() -> None:
    """TensorFlow opens with lines about the GPU that is not there, which no setting turns off."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        # With another backend of Keras it need not be there.
        with contextlib.suppress(ModuleNotFoundError):
            import tensorflow  # noqa: F401
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


# While a program of the package starts (`python -m sparse_mixer_tf.train`), this is its name.
if sys.argv[:1] == ["-m"]:
    _import_tensorflow_quietly()
