"""Token-choice routing in which no token is ever dropped, with static shapes: who sits where.

Every expert has slots for its even share of the choices and as much more as chance asks for. What
does not fit there is served run by run (`expert_runs`). With even loads there is no run at all;
with all tokens on a few experts the slots stay empty and long runs do everything.
"""

import math
from typing import Any, NamedTuple

from keras import ops


class Choices(NamedTuple):
    """Choices of experts by tokens, sorted by expert.

    Choice number `i * tokens + t` is the i-th choice of token t. Choices of padding come after
    those of the last expert and are counted nowhere.

    Attributes:
        expert: int32 [choices], by number; num_experts for padding.
        number: int32 [choices], in the sorted order.
        place: int32 [choices], by number: its place in the sorted order.
        start: int32 [num_experts], the place where the choices of each expert start.
        count: int32 [num_experts], how many there are.
    """

    expert: Any
    number: Any
    place: Any
    start: Any
    count: Any


class Slots(NamedTuple):
    """Seats of some experts. Empty ones name some token and choice too.

    Attributes:
        token: int32 [experts, slots].
        choice: int32 [experts, slots], the number of the choice.
        occupied: bool [experts, slots].
    """

    token: Any
    choice: Any
    occupied: Any


def choose(probabilities, real, num_selected_experts: int) -> tuple[Choices, Any]:
    """Lets each real token choose its most probable experts.

    Args:
        probabilities: float32 [tokens, num_experts].
        real: bool [tokens].
        num_selected_experts: int.

    Returns:
        The choices, and the gate of each by number, float32 [choices]; differentiable.
    """
    _, num_experts = ops.shape(probabilities)
    gate, expert = ops.top_k(probabilities, num_selected_experts)
    expert = ops.where(real[:, None], ops.cast(expert, "int32"), num_experts)
    choices = choices_of(ops.reshape(ops.transpose(expert), (-1,)), num_experts)
    return choices, ops.reshape(ops.transpose(gate), (-1,))


def choices_of(expert, num_experts: int) -> Choices:
    """Sorts choices by expert.

    Args:
        expert: int32 [choices], by number; num_experts for padding.
    """
    number = ops.arange(ops.shape(expert)[0], dtype="int32")
    # Distinct whole numbers, so that the sort need not be stable and carries its payload.
    order = ops.sort(expert * ops.shape(expert)[0] + number) % ops.shape(expert)[0]
    place = ops.scatter(order[:, None], number, ops.shape(expert))
    is_chosen = expert[:, None] == ops.arange(num_experts, dtype="int32")
    count = ops.sum(ops.cast(is_chosen, "int32"), axis=0)
    return Choices(expert, order, place, ops.cumsum(count) - count, count)


def slots_per_expert(num_choices, num_experts: int):
    """The even share and an eighth, or where that is more, two standard deviations of chance."""
    share = -(-num_choices // num_experts)
    if isinstance(num_choices, int):
        return min(share + max(-(-share // 8), math.ceil(2 * math.sqrt(share))), num_choices)
    share = ops.cast(share, "float32")
    headroom = ops.cast(ops.ceil(ops.maximum(share / 8, 2 * ops.sqrt(share))), "int32")
    return ops.minimum(ops.cast(share, "int32") + headroom, num_choices)


def first_slots(choices: Choices, num_tokens, capacity) -> Slots:
    """`capacity` slots of every expert, [num_experts, capacity], for its first choices."""
    (num_experts,) = ops.shape(choices.count)
    rank = ops.broadcast_to(ops.arange(capacity, dtype="int32"), (num_experts, capacity))
    occupied = rank < choices.count[:, None]
    place = ops.where(occupied, choices.start[:, None] + rank, 0)
    number = ops.take(choices.number, place)
    return Slots(number % num_tokens, number, occupied)


def slots_in_use(choices: Choices, capacity) -> Any:
    """Return the slots that an expert fills: `capacity`, or 0 where most choices find no slot."""
    seated = ops.sum(ops.minimum(choices.count, capacity))
    return ops.where(2 * seated >= ops.sum(choices.count), capacity, 0)


def slot_of_choice(choices: Choices, capacity, in_use) -> tuple[Any, Any]:
    """Return the index of each choice among the flattened first slots, and if it has one.

    Args:
        capacity: slots of an expert.
        in_use: int32 scalar, see `slots_in_use`.

    Returns:
        int32 [choices], 0 for those that do not, and bool [choices]; both by number.
    """
    (num_experts,) = ops.shape(choices.count)
    expert = ops.minimum(choices.expert, num_experts - 1)
    rank = choices.place - ops.take(choices.start, expert)
    sits = ops.logical_and(choices.expert < num_experts, rank < in_use)
    return ops.where(sits, expert * capacity + rank, 0), sits
