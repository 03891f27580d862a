"""Metrics of a router, over real tokens alone.

Which expert took which token, as one table, whoever chose.
"""

from keras import ops

from sparse_mixer_tf.layers.moe.permutation import Choices, slots_per_expert
from sparse_mixer_tf.layers.moe.routing import Routing


def slot_metrics(routing: Routing, real, weigh_by_gate: bool = False) -> dict:
    """Metrics of the occupied slots.

    Args:
        routing: a `Routing`.
        real: bool [groups, tokens_per_group].
        weigh_by_gate: count a token by its gate in `expert_load` and `load_cv`. Experts that choose
            all take equally many, so only the gates tell which of them the router leans on.

    Returns:
        float32 scalars `dropped_fraction` (share of real tokens that reach no expert),
        `expert_usage` (share of the allowed slots that are occupied), `router_confidence` (mean
        gate of the occupied slots), `load_cv` (standard deviation of the experts' load over its
        mean), and `expert_load` [num_experts] (share of the dispatched tokens).
    """
    groups, tokens_per_group = ops.shape(real)
    occupied = ops.cast(routing.occupied, "float32")
    first = ops.arange(groups, dtype="int32")[:, None, None] * tokens_per_group
    slots_of_token = ops.segment_sum(
        ops.reshape(occupied, (-1,)),
        ops.reshape(routing.token_index + first, (-1,)),
        num_segments=groups * tokens_per_group,
    )
    dispatched = ops.sum(ops.cast(slots_of_token > 0, "float32"))
    num_real = ops.maximum(ops.sum(ops.cast(real, "float32")), 1.0)
    allowed = ops.sum(ops.cast(routing.expert_capacity, "float32")) * occupied.shape[1]
    per_expert = ops.sum(occupied, axis=(0, 2))
    return {
        "dropped_fraction": 1 - dispatched / num_real,
        "expert_usage": ops.sum(per_expert) / ops.maximum(allowed, 1.0),
        "router_confidence": ops.sum(routing.gate) / ops.maximum(ops.sum(occupied), 1.0),
        **load_metrics(ops.sum(routing.gate, axis=(0, 2)) if weigh_by_gate else per_expert),
    }


def dropless_metrics(choices: Choices, gate) -> dict:
    """The same for routing without capacity; `expert_usage` is that of slots for an even share.

    Args:
        choices: who chose whom.
        gate: float32 [choices], by number.
    """
    (num_experts,) = ops.shape(choices.count)
    slots = slots_per_expert(ops.sum(choices.count), num_experts)
    capacity = ops.cast(ops.maximum(slots, 1), "float32")
    per_expert = ops.cast(choices.count, "float32")
    gates = ops.where(choices.expert < num_experts, gate, 0.0)
    return {
        "dropped_fraction": ops.zeros(()),
        "expert_usage": ops.mean(ops.minimum(per_expert, capacity)) / capacity,
        "router_confidence": ops.sum(gates) / ops.maximum(ops.sum(per_expert), 1.0),
        **load_metrics(per_expert),
    }


def load_metrics(per_expert) -> dict:
    """`expert_load` and `load_cv` of the tokens sent to each expert, float32 [num_experts]."""
    load = per_expert / ops.maximum(ops.sum(per_expert), 1.0)
    return {"expert_load": load, "load_cv": ops.std(load) * load.shape[0]}


def router_entropy(probabilities, real):
    """Mean over real tokens of the entropy of the router's probabilities, in nats.

    Args:
        probabilities: float32 [groups, tokens_per_group, num_experts].
        real: bool [groups, tokens_per_group].

    Returns:
        float32 scalar.
    """
    weight = ops.cast(real, "float32")
    entropy = -ops.sum(probabilities * ops.log(probabilities + 1e-30), axis=-1)
    return ops.sum(entropy * weight) / ops.maximum(ops.sum(weight), 1.0)


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
