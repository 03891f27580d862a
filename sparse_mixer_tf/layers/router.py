"""The router: a score for each expert and token."""

import keras
from keras import ops

from sparse_mixer_tf.layers.initialization import kernel_initializer
from sparse_mixer_tf.layers.randomness import next_key, random_uniform


@keras.saving.register_keras_serializable(package="sparse_mixer_tf")
class Router(keras.layers.Layer):
    """A linear map of the tokens to router logits, in float32 whatever the dtype policy.

    In bfloat16 many logits would be equal, and which token an expert takes would be left to the
    order of the batch.

    Args:
        num_experts: number of experts.
        jitter_noise: inputs are multiplied by U(1 - jitter, 1 + jitter) in training.
    """

    def __init__(self, num_experts: int, jitter_noise: float = 0.0, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.num_experts = num_experts
        self.jitter_noise = jitter_noise
        self.seed_generator = keras.random.SeedGenerator() if jitter_noise > 0 else None

    def build(self, input_shape):
        shape = (input_shape[-1], self.num_experts)
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer=kernel_initializer())
        self.bias = self.add_weight(name="bias", shape=shape[1:], initializer="zeros")

    def call(self, tokens, training=None):
        """Router logits.

        Args:
            tokens: [groups, tokens_per_group, d_model].
            training: whether to jitter.

        Returns:
            float32 [groups, tokens_per_group, num_experts].
        """
        if training and self.jitter_noise > 0:
            low, high = 1 - self.jitter_noise, 1 + self.jitter_noise
            key = next_key(self.seed_generator)
            tokens = tokens * random_uniform(key, ops.shape(tokens), low, high)
        return ops.matmul(tokens, self.kernel) + self.bias

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.num_experts)

    def get_config(self):
        return {
            **super().get_config(),
            "num_experts": self.num_experts,
            "jitter_noise": self.jitter_noise,
        }
