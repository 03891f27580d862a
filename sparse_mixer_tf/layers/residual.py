"""The residual frame around every sublayer of a model.

The residual frame around the sublayers of a language model.
"""

import keras

from sparse_mixer_tf.layers.initializers import (
    LAYER_NORM_EPSILON,
    TORCH_LAYER_NORM_EPSILON,
    check_style,
    layer_norm,
)


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


@keras.saving.register_keras_serializable(package="sparse_mixer_tf")
class CausalSublayer(Sublayer):
    """A `Sublayer` whose inner layer may also look at a memory of what came before.

    With `pre` the memory is normalised like the block, when it is read.

    Args:
        inner: a layer with `call(x, training=None)`, or with
            `call(x, memory, position_table, training=None)`.
        norm: `post` or `pre`.
        initializer: `torch` has PyTorch's LayerNorm epsilon, `normal` that of `Sublayer`.
    """

    def __init__(
        self,
        inner: keras.layers.Layer,
        norm: str = "post",
        initializer: str = "normal",
        **kwargs,
    ):
        super().__init__(inner, norm, **kwargs)
        check_style(initializer)
        self.initializer = initializer
        torch = initializer == "torch"
        epsilon = TORCH_LAYER_NORM_EPSILON if torch else LAYER_NORM_EPSILON
        self.layer_norm = layer_norm("layer_norm", self.dtype_policy, epsilon)

    def build(self, x_shape, memory_shape=None, position_table_shape=None):
        super().build(x_shape)

    def call(self, x, memory=None, position_table=None, training=None):
        """One residual step.

        Args:
            x: [batch, block, d_model].
            memory: [batch, span, d_model], for inner layers that look at one.
            position_table: [span, d_head], with it.
            training: whether to drop out.

        Returns:
            [batch, block, d_model].
        """
        if self.norm == "pre":
            memory = None if memory is None else self.layer_norm(memory)
            return x + self._inner(self.layer_norm(x), memory, position_table, training)
        return self.layer_norm(x + self._inner(x, memory, position_table, training))

    def _inner(self, x, memory, position_table, training):
        if memory is None:
            return self.inner(x, training=training)
        return self.inner(x, memory, position_table, training=training)

    def compute_output_shape(self, x_shape, memory_shape=None, position_table_shape=None):
        return x_shape

    def get_config(self):
        return {**super().get_config(), "initializer": self.initializer}
