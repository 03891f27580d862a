"""Dropless experts: rows to experts and back, without a capacity.

Experts on every choice of every token: in turn, or where shapes are static, in slots and runs.

The gradient is written by hand. A loop of unknown length could not be differentiated at all, and
differentiated automatically, runs that are not needed would still cost zeros for all weights.
"""

from typing import Any

from keras import ops

from sparse_mixer_tf.layers.moe.expert_ffn import (
    ExpertWeights,
    HiddenLayer,
    Passed,
    expert_feed_forward,
    expert_gradients,
)
from sparse_mixer_tf.layers.moe.grouped_matmul import (
    Runs,
    Turns,
    add_to_expert,
    overhang,
    read_rows,
    runs_of,
    write_rows,
)
from sparse_mixer_tf.layers.moe.permutation import (
    Choices,
    first_slots,
    slot_of_choice,
    slots_in_use,
    slots_per_expert,
)
from sparse_mixer_tf.layers.tracing import shapes_may_vary


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


def choice_feed_forward(
    x, gate, weights: ExpertWeights, choices: Choices, layer: HiddenLayer, dispatch: str
):
    """Adds up, for each token, the outputs of its experts times their gates.

    Args:
        x: [tokens, d_model].
        gate: float32 [choices], by number.
        weights: of all experts.
        choices: who chose whom.
        layer: the experts' hidden layer.
        dispatch: `gather` or `einsum`, how tokens reach their slots.

    Returns:
        [tokens, d_model]; 0 for padding.
    """
    num_tokens, num_choices = ops.shape(x)[0], ops.shape(gate)[0]
    if shapes_may_vary():
        way = Turns(choices, num_tokens, layer)
    else:
        way = _Seats(Seating(choices, num_tokens, num_choices, dispatch), layer)

    def by_token(array):
        """[choices, ...] to [choices of a token, tokens, ...]."""
        return ops.reshape(array, (-1, num_tokens, *array.shape[1:]))

    @ops.custom_gradient
    def run(x, gate, *weights):
        outputs, kept = way.serve(x, ExpertWeights(*weights))
        outputs, gates = by_token(outputs), by_token(ops.cast(gate, outputs.dtype))[..., None]
        y = ops.sum(outputs * gates, axis=0)

        def gradient(*arguments, upstream=None):
            dy = arguments[0] if upstream is None else upstream
            d_gate = ops.sum(ops.cast(dy, "float32") * ops.cast(outputs, "float32"), axis=-1)
            d_outputs = ops.reshape(dy * gates, (-1, dy.shape[-1]))
            dx, d_weights = way.gradients(d_outputs, kept)
            return ops.sum(by_token(dx), axis=0), ops.reshape(d_gate, (-1,)), *d_weights

        return y, gradient

    return run(x, gate, *weights)


class _Seats:
    """In slots, all experts at once, and run by run; see `Turns` for the methods."""

    def __init__(self, seating: Seating, layer: HiddenLayer):
        self._seating, self._layer = seating, layer

    def serve(self, x, weights: ExpertWeights) -> tuple:
        by_slot, *passed = _serve_slots(x, weights, self._layer, self._seating)
        by_place, before = _serve_runs(x, weights, self._layer, self._seating)
        return self._seating.to_choices(by_slot, by_place), (x, weights, passed, before)

    def gradients(self, d_outputs, kept) -> tuple:
        x, weights, passed, before = kept
        given = (d_outputs, x, weights, self._layer, self._seating)
        d_slot, *d_weights = _slot_gradients(*given, passed)
        d_place, *d_weights = _run_gradients(*given, before, d_weights)
        return self._seating.to_choices(d_slot, d_place), ExpertWeights(*d_weights)


def _serve_slots(x, weights: ExpertWeights, layer: HiddenLayer, seating: Seating) -> tuple:
    """Outputs by slot and what their gradient needs; zeros where the slots are not used."""

    def serve():
        outputs, passed = expert_feed_forward(seating.tokens_to_slots(x), weights, layer)
        return outputs, *passed

    def serve_nobody():
        num_experts, d_model, d_ff = weights.kernel_in.shape
        outputs, hidden = (
            ops.zeros((num_experts, seating.capacity, columns), x.dtype)
            for columns in (d_model, d_ff)
        )
        return outputs, hidden, hidden

    return ops.cond(seating.slots_are_used, serve, serve_nobody)


def _slot_gradients(
    d_outputs, x, weights: ExpertWeights, layer: HiddenLayer, seating: Seating, passed
) -> tuple:
    """Gradients of the tokens, by slot, and of the weights, from the slots alone."""

    def serve():
        d_slots, rows = seating.choices_to_slots(d_outputs), seating.tokens_to_slots(x)
        d_rows, d_weights = expert_gradients(d_slots, rows, weights, layer, Passed(*passed))
        return d_rows, *d_weights

    def serve_nobody():
        shape = (weights.kernel_in.shape[0], seating.capacity, x.shape[-1])
        return ops.zeros(shape, x.dtype), *(ops.zeros_like(weight) for weight in weights)

    return ops.cond(seating.slots_are_used, serve, serve_nobody)


def _serve_runs(x, weights: ExpertWeights, layer: HiddenLayer, seating: Seating) -> tuple:
    """Outputs and hidden layers before their activation, by place; zeros where there is no run."""
    by_place = seating.tokens_to_places(x)

    def serve(expert, place, rows, real, outputs, before):
        given = read_rows(by_place, place, rows)
        y, passed = expert_feed_forward(given, _of(weights, expert), _of_run(layer, place))
        before = write_rows(before, place, passed.before_activation, real)
        return write_rows(outputs, place, y, real), before

    d_ff = weights.kernel_in.shape[-1]
    found = (
        ops.zeros((seating.num_places, x.shape[-1]), x.dtype),
        ops.zeros((seating.num_places, d_ff), x.dtype),
    )
    for runs in seating.runs:
        found = _over(runs, serve, found)
    return found


def _run_gradients(
    d_outputs, x, weights: ExpertWeights, layer: HiddenLayer, seating: Seating, before, d_weights
) -> tuple:
    """Gradients of the tokens, by place; and those of the weights, added to what there is."""
    by_place, d_by_place = seating.tokens_to_places(x), seating.choices_to_places(d_outputs)

    def serve(expert, place, rows, real, d_places, *d_weights):
        is_real = ops.arange(rows, dtype="int32")[:, None] < real
        dy = ops.where(is_real, read_rows(d_by_place, place, rows), ops.zeros((), x.dtype))
        given, before_rows = (read_rows(array, place, rows) for array in (by_place, before))
        hidden_layer = _of_run(layer, place)
        hidden = hidden_layer.dropped(layer.activation.function(before_rows))
        passed = Passed(before_rows, hidden)
        d_rows, added = expert_gradients(dy, given, _of(weights, expert), hidden_layer, passed)
        d_weights = [add_to_expert(d, expert, a) for d, a in zip(d_weights, added, strict=True)]
        return write_rows(d_places, place, d_rows, real), *d_weights

    found = (ops.zeros((seating.num_places, x.shape[-1]), x.dtype), *d_weights)
    for runs in seating.runs:
        found = _over(runs, serve, found)
    return found


def _over(runs: Runs, serve, found: tuple) -> tuple:
    """Goes through the runs: `serve(expert, place, rows, real, *found) -> found`.

    Which run is next is carried from turn to turn: computed where it is used, XLA would work it
    into everything that reads it, and compile for minutes.
    """

    def body(index, expert, place, real, *found):
        found = serve(expert, place, runs.rows, real, *found)
        return index + 1, *runs.at(index + 1), *found

    start = (ops.zeros((), "int32"), *runs.at(ops.zeros((), "int32")))
    after = ops.while_loop(lambda index, *_: index < runs.number, body, (*start, *found))
    return tuple(after[len(start) :])


def _of(weights: ExpertWeights, expert) -> ExpertWeights:
    return weights.of(ops.reshape(expert, (1,)))


def _of_run(layer: HiddenLayer, place) -> HiddenLayer:
    """The same layer with other elements dropped than in the slots and in other runs."""
    if layer.key is None:
        return layer
    number = ops.cast(place, "uint32") + 1
    return layer._replace(key=ops.stack([layer.key[0], ops.bitwise_xor(layer.key[1], number)]))
