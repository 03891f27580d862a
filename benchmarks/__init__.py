"""The cost of things: every figure that the project publishes, with a command each."""

# First, since it settles how TensorFlow multiplies, which is decided when that is imported.
import sparse_mixer_tf  # noqa: F401
