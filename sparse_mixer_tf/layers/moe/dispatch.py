"""Moving tokens to the slots of their experts and back.

`gather` copies rows by index, and adds up what comes back for a token; each of the two is the
other's gradient. Where tokens have chosen, they know their slots, and adding up is a gather too.
Where experts have, a token has any number of slots, and it is a segment sum. `einsum` multiplies by
one-hot masks: on a TPU that is quick for small groups, but it costs tokens_per_group / d_ff of the
experts' own products. Both give the same numbers; a slot that is empty holds some token or zeros,
and adds nothing to any output.
"""

from keras import ops

from sparse_mixer_tf.layers.custom_gradients import linear_map
from sparse_mixer_tf.layers.moe.routing import Routing


def to_experts(tokens, routing: Routing, dispatch: str):
    """Copies each token into its slots.

    Args:
        tokens: [groups, tokens_per_group, d_model].
        routing: a `Routing`.
        dispatch: `gather` or `einsum`.

    Returns:
        [num_experts, groups * capacity, d_model].
    """
    _, tokens_per_group, d_model = ops.shape(tokens)
    if dispatch == "gather":
        rows = _Rows(routing, tokens_per_group)
        slots = linear_map(rows.copy, rows.add_up, ops.reshape(tokens, (-1, d_model)))
        return ops.reshape(slots, (routing.gate.shape[1], -1, d_model))
    mask = dispatch_mask(routing, tokens_per_group, tokens.dtype)
    slots = ops.einsum("gtd,gect->egcd", tokens, mask)
    return ops.reshape(slots, (ops.shape(mask)[1], -1, d_model))


def from_experts(outputs, routing: Routing, tokens_per_group, dispatch: str):
    """Adds up, for each token, the outputs of its slots times their gates; 0 if it has none.

    Args:
        outputs: [num_experts, groups * capacity, d_model].
        routing: the same `Routing`.
        tokens_per_group: int.
        dispatch: `gather` or `einsum`.

    Returns:
        [groups, tokens_per_group, d_model].
    """
    groups, num_experts, capacity = ops.shape(routing.gate)
    d_model = outputs.shape[-1]
    if dispatch == "gather":
        gate = ops.reshape(ops.swapaxes(routing.gate, 0, 1), (num_experts, -1, 1))
        weighted = ops.reshape(outputs * ops.cast(gate, outputs.dtype), (-1, d_model))
        rows = _Rows(routing, tokens_per_group)
        summed = linear_map(rows.add_up, rows.copy, weighted)
        return ops.reshape(summed, (groups, tokens_per_group, d_model))
    mask = dispatch_mask(routing, tokens_per_group, outputs.dtype)
    combine = mask * ops.cast(routing.gate, outputs.dtype)[..., None]
    slots = ops.reshape(outputs, (num_experts, groups, capacity, d_model))
    return ops.einsum("egcd,gect->gtd", slots, combine)


def dispatch_mask(routing: Routing, tokens_per_group, dtype):
    """One-hot rows: 1 where a slot holds a token.

    Returns:
        [groups, num_experts, capacity, tokens_per_group] of `dtype`.
    """
    one_hot = ops.one_hot(routing.token_index, tokens_per_group, dtype=dtype)
    return one_hot * ops.cast(routing.occupied, dtype)[..., None]


class _Rows:
    """Rows by token, all groups', and by slot, all experts'; each way the other's transpose.

    Args:
        routing: a `Routing`.
        tokens_per_group: int.
    """

    def __init__(self, routing: Routing, tokens_per_group):
        self._groups, _, self._capacity = ops.shape(routing.token_index)
        self._num_tokens = self._groups * tokens_per_group
        first = ops.arange(self._groups, dtype="int32")[:, None, None] * tokens_per_group
        self._token = ops.reshape(ops.swapaxes(routing.token_index + first, 0, 1), (-1,))
        self._slot_of_choice = routing.slot_of_choice

    def copy(self, by_token):
        """[tokens, d_model] to [slots, d_model]."""
        return ops.take(by_token, self._token, axis=0)

    def add_up(self, by_slot):
        """[slots, d_model] to [tokens, d_model]; what is in empty slots has to be 0."""
        if self._slot_of_choice is None:
            # In float32: the sums are exacter, and a GPU adds bfloat16 to memory three times as
            # slowly.
            summed = ops.segment_sum(
                ops.cast(by_slot, "float32"), self._token, num_segments=self._num_tokens
            )
            return ops.cast(summed, by_slot.dtype)
        slot, given = self._slots()
        rows = ops.take(by_slot, slot, axis=0)
        return ops.sum(ops.where(given[..., None], rows, ops.zeros((), rows.dtype)), axis=0)

    def _slots(self):
        """int32 [choices of a token, tokens], the row of each by slot, and whether it has one."""
        group = ops.arange(self._groups, dtype="int32")[:, None, None]
        slot = self._slot_of_choice
        expert, place = slot // self._capacity, slot % self._capacity
        row = (expert * self._groups + group) * self._capacity + place
        shape = (ops.shape(slot)[1], -1)
        row, given = (ops.reshape(ops.swapaxes(y, 0, 1), shape) for y in (row, slot >= 0))
        return ops.where(given, row, 0), given
