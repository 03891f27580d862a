"""The router: a score for each expert and token.

Gates: what each chosen expert's output is weighed with, from the router's logits.

A gate gives weights over all experts, zero at those that a token cannot choose, so routing and
dispatch need not know which gate it was.
"""

import math

import keras
from keras import ops

from sparse_mixer_tf.layers.initializers import check_style, fan_in_uniform, kernel_initializer
from sparse_mixer_tf.layers.rng import next_key, random_uniform


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


GATES = ("softmax", "top_k", "noisy_top_k", "switch", "gshard", "frozen_random")

# Too small to be seen in a sum, and yet above the zeros of experts that were not chosen.
NEGLIGIBLE = 1e-30


def gate_weights(logits, gate: str, num_selected_experts: int, key=None):
    """Weights of the experts for each token.

    Args:
        logits: float32 [groups, tokens_per_group, num_experts].
        gate: one of `GATES`.
            `softmax`, `switch`: over all experts, so that the weight of the chosen ones says how
            sure the router is;
            `top_k`, `noisy_top_k`, `frozen_random`: over the chosen experts alone, summing to 1;
            `gshard`: two experts, and the second is left out at random.
        num_selected_experts: int.
        key: uint32 [2], for `gshard` in training; nothing is left out where None.

    Returns:
        float32 [groups, tokens_per_group, num_experts].
    """
    if gate in ("softmax", "switch"):
        return ops.softmax(logits, axis=-1)
    weights = softmax_of_largest(logits, num_selected_experts)
    if gate == "gshard" and key is not None:
        return skip_second_at_random(weights, key)
    return weights


def softmax_of_largest(logits, count: int):
    """Softmax over the `count` largest logits, zero elsewhere; of equal logits the first count.

    Args:
        logits: float32 [..., num_experts].
        count: int.

    Returns:
        float32 [..., num_experts].
    """
    # Written out: `ops.softmax` multiplies by an estimated reciprocal on some CPUs, and a lone
    # expert's weight of 0.99999994 would leave the router a gradient of noise, which Adam enlarges.
    shifted = logits - ops.stop_gradient(ops.max(logits, axis=-1, keepdims=True))
    exponents = ops.where(largest(logits, count), ops.exp(shifted), 0.0)
    return exponents / ops.sum(exponents, axis=-1, keepdims=True)


def largest(x, count: int):
    """Return a mask of the `count` largest of the last axis: bool, the shape of x.

    Of equal elements the first ones are.
    """
    _, places = ops.top_k(ops.stop_gradient(x), count)
    every = ops.arange(x.shape[-1], dtype=places.dtype)
    return ops.any(places[..., None] == every, axis=-2)


def skip_second_at_random(weights, key):
    """Keeps a token's second expert with a probability of twice its weight, at most 1.

    The first keeps its weight, so a token that goes to one expert comes out smaller, as in GShard.

    Args:
        weights: float32 [groups, tokens_per_group, num_experts], two of them above zero.
        key: uint32 [2].

    Returns:
        The same shape.

    References:
        [GShard](https://arxiv.org/abs/2006.16668), algorithm 1.
    """
    first = largest(weights, 1)
    second = ops.logical_and(weights > 0, ops.logical_not(first))
    second_weight = ops.max(ops.where(second, weights, 0.0), axis=-1, keepdims=True)
    draw = random_uniform(key, ops.shape(second_weight), 0.0, 1.0)
    skipped = ops.logical_and(second, draw >= 2 * second_weight)
    return ops.where(skipped, NEGLIGIBLE, weights)


def random_normal(key, shape):
    """float32 of `shape`, normal with mean 0 and standard deviation 1.

    Args:
        key: uint32 [2].
        shape: sizes, the last of them an int.
    """
    uniform = random_uniform(key, (2, *shape), 0.0, 1.0)
    # One minus it is never 0. Box and Muller, 1958.
    return ops.sqrt(-2 * ops.log(1 - uniform[0])) * ops.cos(2 * math.pi * uniform[1])


def growing_num_selected_experts(step: int, train_steps: int, first: int, last: int) -> int:
    """Experts a token chooses at a step: from `first` to `last`, evenly over the training.

    A new number is a new shape, so the step is compiled again for it: `last` - `first` times in a
    whole training, where masking the work of all `last` experts would cost it from the start.

    References:
        [SMoE-Dropout](https://arxiv.org/abs/2303.01610)
    """
    share = min(max(step / max(train_steps, 1), 0.0), 1.0)
    return first + round((last - first) * share)
