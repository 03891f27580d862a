"""A trained model as a service: raw text in, answers out, each row of a batch by itself."""

from sparse_mixer_tf.serving.batch_invariance import model_with_rows_apart
from sparse_mixer_tf.serving.factory import serve

__all__ = ["model_with_rows_apart", "serve"]
