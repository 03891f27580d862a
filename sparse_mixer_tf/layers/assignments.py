"""Which expert took which token, as one table, whoever chose."""

from keras import ops

from sparse_mixer_tf.layers.dropless import Choices
from sparse_mixer_tf.layers.routing import Routing


def gates_of_slots(routing: Routing, tokens_per_group):
    """The table of slots that experts have.

    Args:
        routing: a `Routing`.
        tokens_per_group: int.

    Returns:
        float32 [groups, tokens_per_group, num_experts]; 0 where an expert did not take a token.
    """
    groups, num_experts, _ = ops.shape(routing.gate)
    first = ops.arange(groups, dtype="int32")[:, None, None] * tokens_per_group
    expert = ops.arange(num_experts, dtype="int32")[:, None]
    shape = (groups, tokens_per_group, num_experts)
    return _table(routing.gate, (routing.token_index + first) * num_experts + expert, shape)


def gates_of_choices(choices: Choices, gate, num_tokens):
    """The table of choices that tokens have made.

    Args:
        choices: `Choices`.
        gate: float32 [choices], by number.
        num_tokens: int.

    Returns:
        float32 [1, num_tokens, num_experts]; 0 where a token did not choose an expert.
    """
    (num_experts,) = ops.shape(choices.count)
    token = ops.arange(ops.shape(gate)[0], dtype="int32") % num_tokens
    # Choices of padding go to one expert more, which is cut off.
    table = _table(
        gate, token * (num_experts + 1) + choices.expert, (1, num_tokens, num_experts + 1)
    )
    return table[..., :num_experts]


def _table(gate, index, shape):
    """Gates by their flat index, added up where it is the same."""
    size = shape[0] * shape[1] * shape[2]
    flat = ops.segment_sum(ops.reshape(gate, (-1,)), ops.reshape(index, (-1,)), num_segments=size)
    return ops.reshape(flat, shape)
