"""Token-choice routing in which no token is ever dropped, with static shapes.

Every expert has slots for its even share of the choices and as much more as chance asks for. What
does not fit there goes to blocks: each block is a run of choices of one expert, padded to a fixed
number of rows, and all blocks are one more batched matmul with the weights copied for each. The
blocks of three sizes of overflow are compiled, none, little, and all tokens on one expert, and one
is run.
"""

import math
from typing import Any, NamedTuple

from keras import ops

from sparse_mixer_tf.layers.routing import Routing, expert_routing, expert_slots
from sparse_mixer_tf.layers.sorted_choices import SortedChoices, sort_choices


def dropless(probabilities, real, num_selected_experts: int) -> tuple[Routing, SortedChoices]:
    """Each token chooses its most probable experts; those that fit go to slots.

    Args:
        probabilities: float32 [1, tokens, num_experts].
        real: bool [1, tokens].
        num_selected_experts: int.

    Returns:
        The routing of the choices that fit in the slots, and the other choices.
    """
    _, num_tokens, num_experts = ops.shape(probabilities)
    choices = sort_choices(
        probabilities, real, num_selected_experts, batch_prioritized_routing=False
    )
    capacity = slots_per_expert(num_selected_experts * num_tokens, num_tokens, num_experts)
    limit = ops.cast(ops.reshape(capacity, (1,)), "int32")
    token_index, occupied = expert_slots(choices, capacity, limit)
    return expert_routing(probabilities, token_index, occupied, limit), choices.after(capacity)


def slots_per_expert(num_choices, num_tokens, num_experts: int):
    """Slots that a router without preferences overflows in about one step of a hundred.

    The load of an expert is then nearly Poisson, its standard deviation the root of the even share,
    and the highest of 64 loads seldom more than three of them above it.
    """
    share = -(-num_choices // num_experts)
    if isinstance(num_choices, int):
        return min(share + max(-(-share // 8), math.ceil(3 * math.sqrt(share))), num_tokens)
    share = ops.cast(share, "float32")
    headroom = ops.cast(ops.ceil(ops.maximum(share / 8, 3 * ops.sqrt(share))), "int32")
    return ops.minimum(ops.cast(share, "int32") + headroom, num_tokens)


class BlockSize(NamedTuple):
    """A static number of blocks, each a static number of rows."""

    blocks: Any
    rows: Any


def block_sizes(num_choices, num_experts: int) -> tuple[BlockSize, BlockSize]:
    """Blocks for a little overflow, and blocks that hold every choice however they fall.

    Rows are a fraction of an expert's even share, which bounds the blocks, and with them the copies
    of the weights, to three an expert.
    """
    little = BlockSize(-(-num_experts // 2), num_choices // (8 * num_experts) + 1)
    rows = num_choices // (2 * num_experts) + 1
    return little, BlockSize(num_choices // rows + num_experts, rows)


def overflow_size(choices: SortedChoices, num_experts: int):
    """Which blocks the choices need: 0 none, 1 the small ones, 2 the large ones; int32 scalar."""
    little, _ = block_sizes(ops.shape(choices.token)[1], num_experts)
    needed = ops.sum(-(-choices.count // little.rows))
    return ops.cast(needed > 0, "int32") + ops.cast(needed > little.blocks, "int32")


def overflow_blocks(probabilities, choices: SortedChoices, size: BlockSize):
    """Lays choices out in blocks of one expert each.

    Args:
        probabilities: float32 [1, tokens, num_experts].
        choices: the choices to lay out.
        size: number of blocks, and of rows in each.

    Returns:
        A `Routing` with blocks in the place of experts, and the expert of each block, int32
        [blocks].
    """
    num_experts, rows = probabilities.shape[-1], size.rows
    start, count = choices.start[0], choices.count[0]
    blocks = -(-count // rows)
    last_block = ops.cumsum(blocks)
    block = ops.arange(size.blocks, dtype="int32")
    # Blocks in use come first and are sorted by expert; those not in use fall to the last expert.
    expert_index = ops.sum(ops.cast(block[:, None] >= last_block, "int32"), axis=1)
    expert_index = ops.minimum(expert_index, num_experts - 1)
    block_of_expert = block - ops.take(last_block - blocks, expert_index)
    row = block_of_expert[:, None] * rows + ops.arange(rows, dtype="int32")
    occupied = row < ops.take(count, expert_index)[:, None]
    index = ops.where(occupied, ops.take(start, expert_index)[:, None] + row, 0)
    limit = ops.cast(ops.reshape(rows, (1,)), "int32")
    routing = expert_routing(
        probabilities, choices.token_at(index[None]), occupied[None], limit, expert_index
    )
    return routing, expert_index
