"""Logits over the vocabulary at the masked positions."""

import keras
from keras import ops

from sparse_mixer_tf.layers.activations import activation_named
from sparse_mixer_tf.layers.initializers import LAYER_NORM_EPSILON, dense, layer_norm


@keras.saving.register_keras_serializable(package="sparse_mixer_tf")
class MaskedLMHead(keras.layers.Layer):
    """Dense, activation and LayerNorm at the masked positions, then a product with the word table.

    Args:
        embedding: the layer whose `token_embedding` [vocabulary_size, d_emb] is the output
            projection, so that one table serves both ends of the model.
        activation: `gelu` (tanh approximation), `gelu_exact` or `relu`.
        layer_norm_epsilon: what LayerNorm adds to the variance.
    """

    def __init__(
        self,
        embedding: keras.layers.Layer,
        activation: str = "gelu",
        layer_norm_epsilon: float = LAYER_NORM_EPSILON,
        **kwargs,
    ):
        super().__init__(**kwargs)
        activation_named(activation)
        self.embedding = embedding
        self.activation = activation
        self.layer_norm_epsilon = layer_norm_epsilon
        self.projection = dense(embedding.d_emb, "projection", self.dtype_policy)
        self.layer_norm = layer_norm("layer_norm", self.dtype_policy, layer_norm_epsilon)

    def build(self, x_shape, mask_positions_shape=None):
        if not self.embedding.built:
            self.embedding.build((None, None))
        hidden_shape = (None, None, self.embedding.d_emb)
        self.projection.build((None, None, x_shape[-1]))
        self.layer_norm.build(hidden_shape)
        self.bias = self.add_weight(
            name="bias",
            shape=(self.embedding.vocabulary_size,),
            initializer="zeros",
            dtype="float32",
            autocast=False,
        )

    def call(self, x, mask_positions):
        """Predicts the tokens at `mask_positions`.

        Args:
            x: [batch, seq, d_model].
            mask_positions: int32 [batch, predictions].

        Returns:
            float32 [batch, predictions, vocabulary_size].
        """
        hidden = self.projection(gather_positions(x, mask_positions))
        hidden = activation_named(self.activation).function(hidden)
        table = ops.cast(self.embedding.token_embedding, self.compute_dtype)
        logits = ops.matmul(self.layer_norm(hidden), ops.transpose(table))
        return ops.cast(logits, "float32") + self.bias

    def compute_output_spec(self, x, mask_positions):
        shape = (*mask_positions.shape, self.embedding.vocabulary_size)
        return keras.KerasTensor(shape, dtype="float32")

    def get_config(self):
        embedding = keras.saving.serialize_keras_object(self.embedding)
        return {
            **super().get_config(),
            "embedding": embedding,
            "activation": self.activation,
            "layer_norm_epsilon": self.layer_norm_epsilon,
        }

    @classmethod
    def from_config(cls, config):
        embedding = keras.saving.deserialize_keras_object(config["embedding"])
        return cls(**{**config, "embedding": embedding})


def gather_positions(x, positions):
    """The rows of `x` at some positions of each example.

    Args:
        x: [batch, seq, d_model].
        positions: int32 [batch, predictions], each in [0, seq).

    Returns:
        [batch, predictions, d_model].

    Raises:
        ValueError: the batches differ, or there are more predictions than positions.
    """
    if None not in (x.shape[0], positions.shape[0]) and x.shape[0] != positions.shape[0]:
        raise ValueError(
            f"a batch of {positions.shape[0]} rows of positions was given for a batch of "
            f"{x.shape[0]} sequences; they must be the same batch"
        )
    if None not in (x.shape[1], positions.shape[1]) and x.shape[1] < positions.shape[1]:
        raise ValueError(
            f"{positions.shape[1]} positions were asked of a sequence of {x.shape[1]} tokens; "
            "lower --max_predictions_per_seq"
        )
    batch, seq, d_model = ops.shape(x)
    row = positions + seq * ops.arange(batch, dtype=positions.dtype)[:, None]
    return ops.take(ops.reshape(x, (-1, d_model)), row, axis=0)
