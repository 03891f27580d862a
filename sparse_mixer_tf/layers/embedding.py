"""Token, position and segment embeddings."""

import keras
from keras import ops

from sparse_mixer_tf.layers.dropout import Dropout
from sparse_mixer_tf.layers.initializers import LAYER_NORM_EPSILON, kernel_initializer, layer_norm


@keras.saving.register_keras_serializable(package="sparse_mixer_tf")
class TokenEmbedding(keras.layers.Layer):
    """Sum of word, position and segment embeddings, normalised and projected to the model.

    The sum and its LayerNorm are float32; the projection (`hidden_mapping_in`) is there even
    where `d_emb` equals `d_model`, as in FNet and the Sparse Mixer; BERT has none. The word table
    is `layer.token_embedding` [vocabulary_size, d_emb], for tying.

    Args:
        vocabulary_size: number of token ids.
        d_model: width of the output.
        max_sequence_length: number of positions.
        d_emb: width of the embeddings; `d_model` where `None`.
        num_segments: number of segment ids.
        dropout_rate: dropout on the output.
        projection: whether there is a projection.
        layer_norm_epsilon: what LayerNorm adds to the variance.

    Raises:
        ValueError: widths differ and there is no projection between them.
    """

    def __init__(
        self,
        vocabulary_size: int,
        d_model: int,
        max_sequence_length: int,
        d_emb: int | None = None,
        num_segments: int = 4,
        dropout_rate: float = 0.0,
        projection: bool = True,
        layer_norm_epsilon: float = LAYER_NORM_EPSILON,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if not projection and d_emb not in (None, d_model):
            raise ValueError(
                f"d_emb={d_emb} differs from d_model={d_model} and needs a projection; leave out "
                "--embedding_projection=false, or --d_emb"
            )
        self.vocabulary_size = vocabulary_size
        self.d_model = d_model
        self.max_sequence_length = max_sequence_length
        self.d_emb = d_emb or d_model
        self.num_segments = num_segments
        self.dropout_rate = dropout_rate
        self.projection = projection
        self.layer_norm_epsilon = layer_norm_epsilon
        self.layer_norm = layer_norm("layer_norm", "float32", layer_norm_epsilon)
        if projection:
            self.hidden_mapping_in = keras.layers.Dense(
                d_model,
                kernel_initializer=keras.initializers.LecunNormal(),
                name="hidden_mapping_in",
                dtype=self.dtype_policy,
            )
        self.dropout = Dropout(dropout_rate, name="dropout", dtype=self.dtype_policy)

    def build(self, token_ids_shape):
        self.token_embedding = self._table("token_embedding", self.vocabulary_size)
        self.position_embedding = self._table("position_embedding", self.max_sequence_length)
        self.segment_embedding = self._table("segment_embedding", self.num_segments)
        self.layer_norm.build((*token_ids_shape, self.d_emb))
        if self.projection:
            self.hidden_mapping_in.build((*token_ids_shape, self.d_emb))

    def call(self, token_ids, segment_ids=None, training=None):
        """Embeds tokens.

        Args:
            token_ids: int32 [batch, seq].
            segment_ids: int32 [batch, seq]; segment 0 where `None`.
            training: whether to drop out.

        Returns:
            [batch, seq, d_model] in the compute dtype.

        Raises:
            ValueError: the sequence is longer than `max_sequence_length`.
        """
        seq = token_ids.shape[1]
        if seq is not None and seq > self.max_sequence_length:
            raise ValueError(
                f"a sequence of {seq} tokens is longer than the {self.max_sequence_length} "
                f"positions of this model; shorten it, or build with --max_seq_length={seq}"
            )
        # The reshape makes TensorFlow's gradient of the table dense. As slices, one a token, its
        # norm would be wrong wherever a word occurs twice.
        table = ops.reshape(self.token_embedding, (self.vocabulary_size, self.d_emb))
        words = ops.take(table, token_ids, axis=0)
        positions = self.position_embedding[: ops.shape(token_ids)[1]]
        if segment_ids is None:
            segments = self.segment_embedding[0]
        else:
            # A product with one-hot rows: its gradient is a product too, where that of a lookup
            # would add the whole batch into a few rows.
            one_hot = ops.one_hot(segment_ids, self.num_segments, dtype="float32")
            segments = ops.matmul(one_hot, self.segment_embedding)
        embedded = self.layer_norm(words + positions + segments)
        if self.projection:
            embedded = self.hidden_mapping_in(embedded)
        return self.dropout(ops.cast(embedded, self.compute_dtype), training=training)

    def _table(self, name: str, rows: int):
        return self.add_weight(
            name=name,
            shape=(rows, self.d_emb),
            initializer=kernel_initializer(),
            dtype="float32",
            autocast=False,
        )

    def compute_output_shape(self, token_ids_shape, segment_ids_shape=None):
        return (*token_ids_shape, self.d_model)

    def get_config(self):
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "d_model": self.d_model,
            "max_sequence_length": self.max_sequence_length,
            "d_emb": self.d_emb,
            "num_segments": self.num_segments,
            "dropout_rate": self.dropout_rate,
            "projection": self.projection,
            "layer_norm_epsilon": self.layer_norm_epsilon,
        }
