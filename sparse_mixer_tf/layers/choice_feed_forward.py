"""Experts on every choice of every token: the slots, then rounds for what found no slot.

The gradient is written by hand. Differentiated automatically, rounds that are not needed would
still cost an array of zeros for each of the experts' weights, and a loop of unknown length could
not be differentiated at all. Tokens come and go by gathers in both directions.
"""

from keras import ops

from sparse_mixer_tf.layers.dropless import (
    Choices,
    Slots,
    first_slots,
    round_slots,
    slot_of_choice,
    slots_per_expert,
)
from sparse_mixer_tf.layers.expert_products import (
    ExpertWeights,
    HiddenLayer,
    expert_feed_forward,
    expert_gradients,
)


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
    num_tokens, d_model = ops.shape(x)
    capacity = slots_per_expert(ops.shape(gate)[0], ops.shape(choices.count)[0])
    slots = first_slots(choices, num_tokens, capacity)
    slot, sits = slot_of_choice(choices, capacity)
    pick, spread = _dispatcher(slots, slot, sits, num_tokens, d_model, dispatch)
    queue = ops.maximum(choices.count - capacity, 0)

    @ops.custom_gradient
    def run(x, gate, *weights):
        weights = ExpertWeights(*weights)
        rows = pick(x)
        outputs, passed = expert_feed_forward(rows, weights, layer)
        slot_gate = _gates(gate, slots)
        y = spread(outputs * _column(slot_gate, outputs))

        def serve(number, waiting, y):
            expert, seats, waiting = round_slots(choices, num_tokens, waiting)
            outputs, _ = expert_feed_forward(
                ops.take(x, seats.token, axis=0), weights.of(expert), _of_round(layer, number)
            )
            gates = _column(_gates(gate, seats), outputs)
            return number + 1, waiting, y + _sum_by(seats.token, outputs * gates, x)

        one = ops.ones((), "uint32")
        *_, y = ops.while_loop(_somebody_waits, serve, (one, queue, y))

        def gradient(*arguments, upstream=None):
            dy = arguments[0] if upstream is None else upstream
            dy_rows = pick(dy)
            d_rows, d_weights = expert_gradients(
                dy_rows * _column(slot_gate, dy_rows), rows, weights, layer, passed
            )
            d_slot_gate = ops.reshape(_products(dy_rows, outputs), (-1,))
            d_gate = ops.where(sits, ops.take(d_slot_gate, slot), 0.0)

            def serve(number, waiting, dx, d_gate, *d_weights):
                expert, seats, waiting = round_slots(choices, num_tokens, waiting)
                rows, dy_rows = (ops.take(z, seats.token, axis=0) for z in (x, dy))
                chosen, hidden = weights.of(expert), _of_round(layer, number)
                outputs, passed = expert_feed_forward(rows, chosen, hidden)
                d_outputs = dy_rows * _column(_gates(gate, seats), dy_rows)
                d_rows, added = expert_gradients(d_outputs, rows, chosen, hidden, passed)
                dx = dx + _sum_by(seats.token, d_rows, dx)
                d_seat = ops.where(seats.occupied, _products(dy_rows, outputs), 0.0)
                d_gate = d_gate + _sum_by(seats.choice, d_seat[..., None], d_gate[:, None])[:, 0]
                d_weights = [
                    ops.scatter_update(d, expert[:, None], ops.take(d, expert, axis=0) + more)
                    for d, more in zip(d_weights, added, strict=True)
                ]
                return number + 1, waiting, dx, d_gate, *d_weights

            _, _, *gradients = ops.while_loop(
                _somebody_waits, serve, (one, queue, spread(d_rows), d_gate, *d_weights)
            )
            return tuple(gradients)

        return y, gradient

    return run(x, gate, *weights)


def _dispatcher(slots: Slots, slot, sits, num_tokens, d_model, dispatch: str):
    """Tokens to the first slots, and the sums over each token's slots: adjoints of each other."""
    if dispatch == "einsum":
        one_hot = slots.token[..., None] == ops.arange(num_tokens, dtype="int32")
        seats = ops.logical_and(one_hot, slots.occupied[..., None])
        return (
            lambda x: ops.einsum("td,ect->ecd", x, ops.cast(seats, x.dtype)),
            lambda rows: ops.einsum("ecd,ect->td", rows, ops.cast(seats, rows.dtype)),
        )

    def spread(rows):
        of_choice = ops.take(ops.reshape(rows, (-1, d_model)), slot, axis=0)
        of_choice = ops.where(sits[:, None], of_choice, ops.zeros((), rows.dtype))
        return ops.sum(ops.reshape(of_choice, (-1, num_tokens, d_model)), axis=0)

    return lambda x: ops.take(x, slots.token, axis=0), spread


def _somebody_waits(number, waiting, *_):
    return ops.any(waiting > 0)


def _of_round(layer: HiddenLayer, number) -> HiddenLayer:
    """The same layer with other elements dropped; `number` 0 stands for the first slots."""
    if layer.key is None:
        return layer
    return layer._replace(key=ops.stack([layer.key[0], ops.bitwise_xor(layer.key[1], number)]))


def _gates(gate, slots: Slots):
    return ops.where(slots.occupied, ops.take(gate, slots.choice), 0.0)


def _column(gates, like):
    return ops.cast(gates, like.dtype)[..., None]


def _products(a, b):
    """Scalar products of rows, float32 [experts, slots]."""
    return ops.sum(ops.cast(a, "float32") * ops.cast(b, "float32"), axis=-1)


def _sum_by(index, rows, like):
    """The sums of the rows that share an index, in the shape of `like`."""
    columns = ops.shape(rows)[-1]
    summed = ops.segment_sum(
        ops.reshape(rows, (-1, columns)),
        ops.reshape(index, (-1,)),
        num_segments=ops.shape(like)[0],
    )
    return ops.reshape(summed, ops.shape(like))
