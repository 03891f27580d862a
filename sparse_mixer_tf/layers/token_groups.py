"""Tokens of a batch, cut into groups that are routed apart."""

from keras import ops


def group_shape(num_tokens, max_group_size: int):
    """The fewest equal groups that hold all tokens with none above `max_group_size`.

    Args:
        num_tokens: int, or a scalar tensor.
        max_group_size: int.

    Returns:
        (groups, tokens_per_group); their product is `num_tokens` or a little more.
    """
    groups = -(-num_tokens // max_group_size)
    return groups, -(-num_tokens // groups)


def group_tokens(x, real, max_group_size: int | None):
    """Lays the tokens of a batch out in groups; what is missing in the last one is padding.

    Args:
        x: [batch, seq, d_model].
        real: bool [batch, seq], false on padding; all tokens are real where `None`.
        max_group_size: most tokens in a group; one group where `None`.

    Returns:
        tokens [groups, tokens_per_group, d_model] and real, bool [groups, tokens_per_group].
    """
    batch, seq, d_model = ops.shape(x)
    num_tokens = batch * seq
    groups, tokens_per_group = 1, num_tokens
    if max_group_size is not None:
        groups, tokens_per_group = group_shape(num_tokens, max_group_size)
    tokens = ops.reshape(x, (num_tokens, d_model))
    if real is None:
        real = ops.ones((num_tokens,), "bool")
    real = ops.reshape(ops.cast(real, "bool"), (num_tokens,))
    missing = groups * tokens_per_group - num_tokens
    if not isinstance(missing, int) or missing > 0:
        tokens = ops.pad(tokens, [[0, missing], [0, 0]])
        real = ops.pad(real, [[0, missing]], constant_values=False)
    return (
        ops.reshape(tokens, (groups, tokens_per_group, d_model)),
        ops.reshape(real, (groups, tokens_per_group)),
    )


def ungroup_tokens(tokens, batch_shape):
    """Undoes `group_tokens`.

    Args:
        tokens: [groups, tokens_per_group, d_model].
        batch_shape: the shape of the batch, (batch, seq, d_model).

    Returns:
        [batch, seq, d_model].
    """
    batch, seq, d_model = batch_shape
    groups, tokens_per_group, _ = ops.shape(tokens)
    missing = groups * tokens_per_group - batch * seq
    if not isinstance(missing, int) or missing > 0:
        tokens = ops.reshape(tokens, (-1, d_model))[: batch * seq]
    return ops.reshape(tokens, batch_shape)
