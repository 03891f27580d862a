"""Learned relative positions."""

import keras
from keras import ops

from sparse_mixer_tf.layers.initialization import KERNEL_STDDEV, check_style


@keras.saving.register_keras_serializable(package="sparse_mixer_tf")
class PositionTable(keras.layers.Layer):
    """One learned vector for each distance, shared by all heads and layers.

    Args:
        attn_span: number of distances.
        d_head: width of a head.
        initializer: `normal` (standard deviation 0.02) or `torch` (1).
    """

    def __init__(self, attn_span: int, d_head: int, initializer: str = "normal", **kwargs):
        super().__init__(**kwargs)
        check_style(initializer)
        self.attn_span = attn_span
        self.d_head = d_head
        self.initializer = initializer

    def build(self, input_shape=None):
        stddev = 1.0 if self.initializer == "torch" else KERNEL_STDDEV
        self.table = self.add_weight(
            name="table",
            shape=(self.attn_span, self.d_head),
            initializer=keras.initializers.RandomNormal(stddev=stddev),
        )

    def call(self, inputs):
        """The table [attn_span, d_head], whatever the inputs, which place it in a model's graph."""
        return ops.cast(self.table, self.compute_dtype)

    def compute_output_spec(self, inputs):
        return keras.KerasTensor((self.attn_span, self.d_head), self.compute_dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "attn_span": self.attn_span,
            "d_head": self.d_head,
            "initializer": self.initializer,
        }
