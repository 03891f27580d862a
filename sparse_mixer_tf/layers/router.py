"""The router: a score for each expert and token."""

import keras
from keras import ops

from sparse_mixer_tf.layers.gates import random_normal
from sparse_mixer_tf.layers.initialization import check_style, fan_in_uniform, kernel_initializer
from sparse_mixer_tf.layers.randomness import next_key, random_uniform


@keras.saving.register_keras_serializable(package="sparse_mixer_tf")
class Router(keras.layers.Layer):
    """A linear map of the tokens to router logits, in float32 whatever the dtype policy.

    In bfloat16 many logits would be equal, and which token an expert takes would be left to the
    order of the batch.

    Args:
        num_experts: number of experts.
        jitter_noise: inputs are multiplied by U(1 - jitter, 1 + jitter) in training.
        use_bias: whether logits have a bias.
        learned_noise: normal noise, as large as a second linear map says, is added in training.
        frozen: the initial weights are never trained.
        initializer: `normal` or `torch`, see `initialization.dense`.

    References:
        [Outrageously large networks](https://arxiv.org/abs/1701.06538), for `learned_noise`.
    """

    def __init__(
        self,
        num_experts: int,
        jitter_noise: float = 0.0,
        use_bias: bool = True,
        learned_noise: bool = False,
        frozen: bool = False,
        initializer: str = "normal",
        **kwargs,
    ):
        super().__init__(**{**kwargs, "dtype": "float32"})
        check_style(initializer)
        self.num_experts = num_experts
        self.jitter_noise = jitter_noise
        self.use_bias = use_bias
        self.learned_noise = learned_noise
        self.frozen = frozen
        self.initializer = initializer
        random = jitter_noise > 0 or learned_noise
        self.seed_generator = keras.random.SeedGenerator() if random else None

    def build(self, input_shape):
        d_model = input_shape[-1]
        kernel, bias = kernel_initializer(), "zeros"
        if self.initializer == "torch":
            kernel, bias = fan_in_uniform(d_model), fan_in_uniform(d_model)
        shape = (d_model, self.num_experts)
        self.kernel = self._weight("kernel", shape, kernel)
        self.bias = self._weight("bias", shape[1:], bias) if self.use_bias else None
        self.noise_kernel = self._weight("noise_kernel", shape) if self.learned_noise else None

    def _weight(self, name, shape, initializer="zeros"):
        return self.add_weight(
            name=name, shape=shape, initializer=initializer, trainable=not self.frozen
        )

    def call(self, tokens, training=None):
        """Router logits.

        Args:
            tokens: [groups, tokens_per_group, d_model].
            training: whether to add noise.

        Returns:
            float32 [groups, tokens_per_group, num_experts].
        """
        if training and self.jitter_noise > 0:
            low, high = 1 - self.jitter_noise, 1 + self.jitter_noise
            key = next_key(self.seed_generator)
            tokens = tokens * random_uniform(key, ops.shape(tokens), low, high)
        logits = ops.matmul(tokens, self.kernel)
        if self.use_bias:
            logits = logits + self.bias
        if training and self.learned_noise:
            scale = ops.softplus(ops.matmul(tokens, self.noise_kernel))
            key = next_key(self.seed_generator)
            logits = logits + scale * random_normal(key, ops.shape(logits))
        return logits

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.num_experts)

    def get_config(self):
        return {
            **super().get_config(),
            "num_experts": self.num_experts,
            "jitter_noise": self.jitter_noise,
            "use_bias": self.use_bias,
            "learned_noise": self.learned_noise,
            "frozen": self.frozen,
            "initializer": self.initializer,
        }
