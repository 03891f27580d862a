"""The tokens' own choices of experts, sorted by expert."""

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
