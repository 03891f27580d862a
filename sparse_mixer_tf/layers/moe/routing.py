"""The tokens' own choices of experts, sorted by expert.

Which token goes to which expert: pure maths on router probabilities.

Every router answers with the same record, a table of the experts' slots. It says which token is in
each slot; how the tokens get there is the dispatcher's affair.

Tokens of a batch, cut into groups that are routed apart.
"""

from typing import Any, NamedTuple

from keras import ops


class SortedChoices(NamedTuple):
    """All choices of a group: those of expert 0 first, each expert's in order of priority.

    Choice number `i * tokens_per_group + t` is the i-th choice of token t. Choices of padding come
    after those of the last expert and are counted nowhere.

    Attributes:
        number: int32 [groups, choices]; choices = num_selected_experts * tokens_per_group.
        start: int32 [groups, num_experts], where the choices of each expert start.
        count: int32 [groups, num_experts], how many there are.
    """

    number: Any
    start: Any
    count: Any

    def number_at(self, index):
        """The numbers of some choices: int32 [groups, ...] indices to numbers of the same shape."""
        groups, choices = ops.shape(self.number)
        first = ops.arange(groups, dtype="int32") * choices
        first = ops.reshape(first, (-1,) + (1,) * (len(index.shape) - 1))
        return ops.take(ops.reshape(self.number, (-1,)), first + index, axis=0)


def sort_choices(
    probabilities, real, num_selected_experts: int, batch_prioritized_routing: bool
) -> SortedChoices:
    """Lets each real token choose its most probable experts and sorts the choices by expert.

    Args:
        probabilities: float32 [groups, tokens_per_group, num_experts].
        real: bool [groups, tokens_per_group].
        num_selected_experts: int.
        batch_prioritized_routing: rank tokens by their highest probability, not by place.

    Returns:
        The sorted choices.
    """
    groups, tokens_per_group, num_experts = ops.shape(probabilities)
    probabilities = ops.stop_gradient(probabilities)
    best, expert = ops.top_k(probabilities, num_selected_experts)
    expert = ops.where(real[:, :, None], ops.cast(expert, "int32"), num_experts)
    place = ops.broadcast_to(
        ops.arange(tokens_per_group, dtype="int32"), (groups, tokens_per_group)
    )
    if batch_prioritized_routing:
        # top_k, unlike argsort on every backend, is sure to keep equals in order.
        _, place = ops.top_k(best[:, :, 0], tokens_per_group)
        place = ops.cast(place, "int32")
    # Rank of each token, the inverse of `place`.
    _, rank = ops.top_k(-place, tokens_per_group)
    rank = ops.cast(rank, "int32")
    choices = num_selected_experts * tokens_per_group
    priority = rank[:, :, None] + tokens_per_group * ops.arange(num_selected_experts, dtype="int32")
    # Distinct whole numbers, so that the sort need not be stable and carries its payload.
    key = ops.sort(ops.reshape(expert * choices + priority, (groups, choices)), axis=-1)
    count = ops.sum(
        ops.cast(expert[..., None] == ops.arange(num_experts, dtype="int32"), "int32"), axis=(1, 2)
    )
    sorted_priority = key % choices
    sorted_rank = sorted_priority % tokens_per_group
    first = ops.arange(groups, dtype="int32")[:, None] * tokens_per_group
    token = ops.take(ops.reshape(place, (-1,)), first + sorted_rank, axis=0)
    number = sorted_priority - sorted_rank + token
    return SortedChoices(number, ops.cumsum(count, axis=1) - count, count)


class Routing(NamedTuple):
    """The slots of all experts. Empty slots name some token too, with gate 0.

    Attributes:
        token_index: int32 [groups, num_experts, capacity], place of the slot's token in its group.
        occupied: bool [groups, num_experts, capacity].
        gate: float32 [groups, num_experts, capacity], the router probability with which the
            expert's output enters the token's, not renormalised; 0 in empty slots. Differentiable.
        expert_capacity: int32 [groups], how many slots of each expert may be occupied.
        slot_of_choice: int32 [groups, num_selected_experts, tokens_per_group], which of its group's
            num_experts * capacity slots each choice of each token has got, -1 where none; `None`
            where experts choose, who give a token any number of slots.
    """

    token_index: Any
    occupied: Any
    gate: Any
    expert_capacity: Any
    slot_of_choice: Any = None


def expert_capacity(num_tokens, num_experts: int, capacity_factor: float, min_expert_capacity: int):
    """Slots of each expert for one group: its even share of the tokens, times the factor.

    Rounds half to even, like the published code.

    Args:
        num_tokens: int; or int32 tensor, on backends with float64.
        num_experts: int.
        capacity_factor: float.
        min_expert_capacity: int.

    Returns:
        What `num_tokens` is: int or int32.
    """
    if isinstance(num_tokens, int):
        share = capacity_factor * num_tokens / num_experts
        return min(max(min_expert_capacity, round(share)), num_tokens)
    # As exact as Python's: in float32, 1.1 x 110 / 2 would round down to 60 and not up to 61.
    share = capacity_factor * ops.cast(num_tokens, "float64") / num_experts
    capacity = ops.maximum(ops.cast(ops.round(share), "int32"), min_expert_capacity)
    return ops.minimum(capacity, ops.maximum(num_tokens, 1))


def experts_choose(probabilities, real, capacity_factor: float, min_expert_capacity: int):
    """Each expert takes the tokens to which the router gives it the highest probability.

    All experts are equally loaded. A token may be taken by several experts or by none, and its
    fate depends on the other tokens of the group, later ones too: not for causal models.

    Args:
        probabilities: float32 [groups, tokens_per_group, num_experts].
        real: bool [groups, tokens_per_group]; padding takes no slot and adds no capacity.
        capacity_factor: float.
        min_expert_capacity: int.

    Returns:
        A `Routing`.

    References:
        [Mixture-of-Experts with Expert Choice Routing](https://arxiv.org/abs/2202.09368).
    """
    _, tokens_per_group, num_experts = ops.shape(probabilities)
    capacities = (num_experts, capacity_factor, min_expert_capacity)
    capacity = expert_capacity(tokens_per_group, *capacities)
    limit = _limit(real, capacities)
    scores = ops.swapaxes(ops.where(real[:, :, None], probabilities, -1.0), 1, 2)
    best, token_index = ops.top_k(ops.stop_gradient(scores), capacity)
    within = ops.arange(capacity, dtype="int32") < limit[:, None, None]
    occupied = ops.logical_and(best >= 0, within)
    return expert_routing(probabilities, ops.cast(token_index, "int32"), occupied, limit)


def tokens_choose(
    probabilities,
    real,
    num_selected_experts: int,
    capacity_factor: float,
    min_expert_capacity: int,
    batch_prioritized_routing: bool,
):
    """Each token takes its most probable experts, as long as they have room.

    First choices of all tokens come before second choices. With batch-prioritised routing the
    most confident tokens of a group come first, else the order is that of the text. Experts may be
    unevenly loaded; where one is full, tokens are dropped.

    Args:
        probabilities: float32 [groups, tokens_per_group, num_experts].
        real: bool [groups, tokens_per_group]; padding takes no slot and adds no capacity.
        num_selected_experts: int.
        capacity_factor: float.
        min_expert_capacity: int.
        batch_prioritized_routing: bool.

    Returns:
        A `Routing`.

    References:
        [Switch Transformers](https://arxiv.org/abs/2101.03961);
        [Scaling Vision with Sparse Mixture of Experts](https://arxiv.org/abs/2106.05974) for
        batch-prioritised routing.
    """
    _, tokens_per_group, num_experts = ops.shape(probabilities)
    capacities = (num_experts, capacity_factor, min_expert_capacity)
    capacity = expert_capacity(tokens_per_group, *capacities)
    limit = _limit(real, capacities)
    choices = sort_choices(probabilities, real, num_selected_experts, batch_prioritized_routing)
    number, occupied = expert_slots(choices, capacity, limit)
    routing = expert_routing(probabilities, number % tokens_per_group, occupied, limit)
    slots = slots_of_choices(number, occupied, num_selected_experts * tokens_per_group)
    shape = (-1, num_selected_experts, tokens_per_group)
    return routing._replace(slot_of_choice=ops.reshape(slots, shape))


def expert_slots(choices: SortedChoices, capacity, limit):
    """The first choices of each expert, one a slot.

    Args:
        choices: choices sorted by expert.
        capacity: slots of each expert.
        limit: int32 [groups], how many of those may be occupied.

    Returns:
        The number of the choice, int32, and occupied, bool, both [groups, num_experts, capacity].
    """
    slot = ops.arange(capacity, dtype="int32")
    taken = ops.minimum(choices.count, limit[:, None])
    occupied = slot < taken[:, :, None]
    index = ops.where(occupied, choices.start[:, :, None] + slot, 0)
    return choices.number_at(index), occupied


def slots_of_choices(number, occupied, num_choices):
    """The inverse of `expert_slots`: where each choice has found room.

    Args:
        number: int32 [groups, num_experts, capacity].
        occupied: bool [groups, num_experts, capacity].
        num_choices: choices of a group.

    Returns:
        int32 [groups, num_choices], a slot among num_experts * capacity; -1 where there was none.
    """
    groups, num_experts, capacity = ops.shape(number)
    slots = num_experts * capacity
    first = ops.arange(groups, dtype="int32")[:, None, None] * num_choices
    # What is in no slot stays 0; what empty slots name goes to one place more, which is cut off.
    index = ops.where(occupied, first + number, groups * num_choices)
    slot = ops.tile(ops.arange(1, slots + 1, dtype="int32"), [groups])
    found = ops.scatter(ops.reshape(index, (-1, 1)), slot, (groups * num_choices + 1,))
    return ops.reshape(found[:-1] - 1, (-1, num_choices))


def expert_routing(probabilities, token_index, occupied, limit) -> Routing:
    """The record of filled slots, with the gates taken from the probabilities.

    Args:
        probabilities: float32 [groups, tokens_per_group, num_experts].
        token_index: int32 [groups, num_experts, capacity].
        occupied: bool [groups, num_experts, capacity].
        limit: int32 [groups], slots of each expert that may be occupied.

    Returns:
        A `Routing`.
    """
    groups, tokens_per_group, num_experts = ops.shape(probabilities)
    expert_index = ops.arange(num_experts, dtype="int32")
    first = ops.arange(groups, dtype="int32")[:, None, None] * tokens_per_group
    flat = (first + token_index) * num_experts + expert_index[:, None]
    gate = ops.take(ops.reshape(probabilities, (-1,)), flat, axis=0)
    return Routing(token_index, occupied, ops.where(occupied, gate, 0.0), limit)


def _limit(real, capacities):
    """Capacity of each group by its real tokens alone, int32 [groups]."""
    num_real = ops.sum(ops.cast(real, "int32"), axis=1)
    tokens_per_group = ops.shape(real)[1]
    if not isinstance(tokens_per_group, int):
        return expert_capacity(num_real, *capacities)
    # Looked up, as not every device computes in float64.
    of = [expert_capacity(max(n, 1), *capacities) for n in range(tokens_per_group + 1)]
    return ops.take(ops.convert_to_tensor(of, dtype="int32"), num_real)


def group_shape(num_tokens, max_group_size: int):
    """The fewest equal groups that hold all tokens with none above `max_group_size`.

    The published code rounds `num_tokens / max_group_size` down, to 1 at least, and takes the next
    number of groups that divides the tokens, whose groups may exceed `max_group_size`: 12 tokens
    with groups of 8 at most are 2 groups of 6 here, 1 group of 12 there. Both agree where
    `max_group_size` divides the tokens; so the published group size as `max_group_size` gives the
    published groups.

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
