"""The residual frame around every sublayer of a model."""

import keras

from sparse_mixer_tf.layers.initialization import LAYER_NORM_EPSILON, layer_norm


@keras.saving.register_keras_serializable(package="sparse_mixer_tf")
class Sublayer(keras.layers.Layer):
    """A residual connection and a LayerNorm around an inner layer.

    `post`: LayerNorm(x + inner(x)), as in BERT and the Sparse Mixer;
    `pre`: x + inner(LayerNorm(x)).

    Args:
        inner: a layer with `call(x, padding_mask=None, training=None)` that keeps the shape.
        norm: `post` or `pre`.
        layer_norm_epsilon: what LayerNorm adds to the variance.

    Raises:
        ValueError: `norm` is neither.
    """

    def __init__(
        self,
        inner: keras.layers.Layer,
        norm: str = "post",
        layer_norm_epsilon: float = LAYER_NORM_EPSILON,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if norm not in ("post", "pre"):
            raise ValueError(f"norm={norm!r} is unknown; use 'post' or 'pre'")
        self.inner = inner
        self.norm = norm
        self.layer_norm_epsilon = layer_norm_epsilon
        self.layer_norm = layer_norm("layer_norm", self.dtype_policy, layer_norm_epsilon)

    def build(self, input_shape):
        if not self.inner.built:
            self.inner.build(input_shape)
        self.layer_norm.build(input_shape)

    def call(self, x, padding_mask=None, training=None):
        """[batch, seq, d_model] to the same shape; `padding_mask` goes to the inner layer."""
        if self.norm == "pre":
            return x + self.inner(self.layer_norm(x), padding_mask=padding_mask, training=training)
        return self.layer_norm(x + self.inner(x, padding_mask=padding_mask, training=training))

    def compute_output_shape(self, x_shape, padding_mask_shape=None):
        return x_shape

    def get_config(self):
        return {
            **super().get_config(),
            "inner": keras.saving.serialize_keras_object(self.inner),
            "norm": self.norm,
            "layer_norm_epsilon": self.layer_norm_epsilon,
        }

    @classmethod
    def from_config(cls, config):
        inner = keras.saving.deserialize_keras_object(config["inner"])
        return cls(**{**config, "inner": inner})
