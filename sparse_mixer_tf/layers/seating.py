"""Where every choice of every token is served, and how rows get there and back."""

from typing import Any

from keras import ops

from sparse_mixer_tf.layers.dropless import (
    Choices,
    first_slots,
    slot_of_choice,
    slots_in_use,
    slots_per_expert,
)
from sparse_mixer_tf.layers.expert_runs import overhang, runs_of


class Seating:
    """Rows by token, by choice, by slot and by place, and the gathers between them.

    Places are the sorted order of the choices, with a few rows more at the end, which runs may
    reach over. What is not served, as the choices of padding, reads zeros.

    Args:
        choices: who chose whom.
        num_tokens: rows by token.
        num_choices: rows by choice.
        dispatch: `gather` or `einsum`, how tokens reach their slots.

    Attributes:
        slots_are_used: bool scalar; else runs serve everything.
        capacity: slots of an expert.
        num_places: rows by place.
        runs: the long and the short ones.
    """

    def __init__(self, choices: Choices, num_tokens, num_choices, dispatch: str):
        (num_experts,) = ops.shape(choices.count)
        self.capacity = slots_per_expert(num_choices, num_experts)
        in_use = slots_in_use(choices, self.capacity)
        spare = overhang(num_choices, num_experts)
        self.slots_are_used = in_use > 0
        self.num_places = num_choices + spare
        self.runs = runs_of(choices, in_use, num_choices)
        self._num_tokens, self._dispatch, self._place = num_tokens, dispatch, choices.place
        self._number = ops.pad(choices.number, [[0, spare]])
        self._slots = first_slots(choices, num_tokens, self.capacity)
        self._slot, self._sits = slot_of_choice(choices, self.capacity, in_use)

    def tokens_to_places(self, rows):
        """[tokens, columns] to [places, columns]."""
        return ops.take(rows, self._number % self._num_tokens, axis=0)

    def choices_to_places(self, rows):
        """[choices, columns] to [places, columns]."""
        return ops.take(rows, self._number, axis=0)

    def tokens_to_slots(self, rows):
        """[tokens, columns] to [num_experts, capacity, columns]; some token in empty slots."""
        if self._dispatch == "gather":
            return ops.take(rows, self._slots.token, axis=0)
        one_hot = self._slots.token[..., None] == ops.arange(self._num_tokens, dtype="int32")
        return ops.einsum("td,ect->ecd", rows, ops.cast(one_hot, rows.dtype))

    def choices_to_slots(self, rows):
        """[choices, columns] to [num_experts, capacity, columns]; zeros in empty slots."""
        picked = ops.take(rows, self._slots.choice, axis=0)
        return ops.where(self._slots.occupied[..., None], picked, ops.zeros((), rows.dtype))

    def to_choices(self, by_slot, by_place) -> Any:
        """Of both, what each choice was given, [choices, columns]."""
        seated = ops.take(ops.reshape(by_slot, (-1, by_slot.shape[-1])), self._slot, axis=0)
        return ops.where(self._sits[:, None], seated, ops.take(by_place, self._place, axis=0))
