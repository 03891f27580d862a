"""Gates: what each chosen expert's output is weighed with, from the router's logits.

A gate gives weights over all experts, zero at those that a token cannot choose, so routing and
dispatch need not know which gate it was.
"""

import math

from keras import ops

from sparse_mixer_tf.layers.randomness import random_uniform

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
    """Whether each element is among the `count` largest of the last axis: bool, the shape of x.

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
