"""Losses that keep a router balanced and its logits small; over real tokens alone."""

from keras import ops


def balance_loss(probabilities, real, num_selected_experts: int):
    """Return the balance loss (auxiliary loss); 1 where one choice a token is even.

    num_experts^2 times the mean over experts of (share of tokens that choose it) x (its mean
    probability), with each group weighted by its real tokens.

    Args:
        probabilities: float32 [groups, tokens_per_group, num_experts].
        real: bool [groups, tokens_per_group].
        num_selected_experts: int; with even routing the loss is this number.

    Returns:
        float32 scalar. Its gradient flows through the mean probabilities.

    References:
        [Switch Transformers](https://arxiv.org/abs/2101.03961), equation 4.
    """
    num_experts = probabilities.shape[-1]
    _, chosen = ops.top_k(ops.stop_gradient(probabilities), num_selected_experts)
    chose = ops.sum(ops.one_hot(chosen, num_experts, dtype="float32"), axis=2)
    weight = ops.cast(real, "float32")
    tokens = ops.sum(weight, axis=1)
    per_group = ops.maximum(tokens, 1.0)[:, None]
    share = ops.sum(chose * weight[:, :, None], axis=1) / per_group
    mean_probability = ops.sum(probabilities * weight[:, :, None], axis=1) / per_group
    loss = num_experts * ops.sum(share * mean_probability, axis=1)
    return ops.sum(loss * tokens) / ops.maximum(ops.sum(tokens), 1.0)


def router_z_loss(logits, real):
    """Mean over real tokens of logsumexp(logits)^2.

    Args:
        logits: float32 [groups, tokens_per_group, num_experts].
        real: bool [groups, tokens_per_group].

    Returns:
        float32 scalar.

    References:
        [ST-MoE](https://arxiv.org/abs/2202.08906), equation 5.
    """
    weight = ops.cast(real, "float32")
    squares = ops.square(ops.logsumexp(logits, axis=-1))
    return ops.sum(squares * weight) / ops.maximum(ops.sum(weight), 1.0)
