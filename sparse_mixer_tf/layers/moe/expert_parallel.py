"""Experts that live on different replicas, and the rows that travel to them and back.

Each of N replicas holds the weights of its own experts only and has tokens of its own. Rows go to
the owners of their experts by one all-to-all, and what the experts say comes back by another. How
replicas speak to each other is the trainer's affair: it hands in an `Exchange`.

References:
    [GShard](https://arxiv.org/abs/2006.16668).
"""

import contextlib
import threading
from collections.abc import Callable
from typing import Any, Protocol

from keras import ops

from sparse_mixer_tf.layers.moe.permutation import Choices, choices_of

_active = threading.local()


class Exchange(Protocol):
    """Communication between replicas that hold different experts; the trainer implements it.

    Attributes:
        parts: how many replicas there are.
    """

    parts: int

    def owned(self) -> contextlib.AbstractContextManager:
        """A block in which every variable made is of one replica, each with its own values."""

    def hand_out(self, variable, array) -> None:
        """Gives each replica its part of `array`, cut along the first axis."""

    def is_between_replicas(self) -> bool:
        """Return whether the code runs on one of several replicas, which then all run it."""

    def whole(self, variable) -> Any:
        """The parts of all replicas after one another; for code that runs outside of them."""

    def all_to_all(self, x, bound: int | None = None) -> Any:
        """[parts, ...] to [parts, ...]: part j here becomes part i there, i being this replica.

        Args:
            bound: where the second axis is of some `longest` length, the bound given there.
        """

    def longest(self, length, bound: int) -> Any:
        """The largest `length` of all replicas or a little more, at most about `bound`."""


@contextlib.contextmanager
def experts_apart(exchange: Exchange | None):
    """Layers built inside the block keep their experts apart; `None` changes nothing."""
    outer = current_exchange()
    _active.exchange = exchange
    try:
        yield
    finally:
        _active.exchange = outer


def current_exchange() -> Exchange | None:
    """The exchange of the surrounding `experts_apart` block, if any."""
    return getattr(_active, "exchange", None)


def rows_to_owners(rows, exchange: Exchange):
    """Sends each expert's rows to the replica that owns it.

    Args:
        rows: [num_experts, rows, columns], of this replica's tokens.

    Returns:
        [num_experts / parts, parts * rows, columns]: of its own experts, from everywhere.
    """
    num_experts, length, columns = ops.shape(rows)
    own = num_experts // exchange.parts
    received = exchange.all_to_all(ops.reshape(rows, (exchange.parts, own, length, columns)))
    return ops.reshape(ops.swapaxes(received, 0, 1), (own, -1, columns))


def rows_from_owners(rows, exchange: Exchange):
    """The way back of `rows_to_owners`."""
    own, length, columns = ops.shape(rows)
    parted = ops.reshape(rows, (own, exchange.parts, length // exchange.parts, columns))
    returned = exchange.all_to_all(ops.swapaxes(parted, 0, 1))
    return ops.reshape(returned, (own * exchange.parts, -1, columns))


def serve_choices_apart(x, gate, choices: Choices, exchange: Exchange, serve: Callable):
    """Lets the owners serve every choice of every token; none is dropped.

    What replicas send each other differs in length, what an all-to-all moves does not: every part
    is as long as the longest of all. Which row is for which expert follows from the counts, since
    choices are sorted by expert.

    Args:
        x: [tokens, d_model].
        gate: float32 [choices], by number.
        choices: who chose whom among all experts.
        serve: `(rows [n, d_model], gate [n], choices) -> [n, d_model]`, of the own experts.

    Returns:
        [tokens, d_model]; 0 for padding.
    """
    num_tokens, d_model = ops.shape(x)
    (num_choices,) = ops.shape(gate)
    (num_experts,) = ops.shape(choices.count)
    parts, own = exchange.parts, num_experts // exchange.parts
    count = ops.reshape(choices.count, (parts, own))
    sent = ops.sum(count, axis=1)
    start = choices.start[::own]
    length = exchange.longest(ops.maximum(ops.max(sent), 1), num_choices)

    rank = ops.arange(length, dtype="int32")
    place = ops.where(rank < sent[:, None], start[:, None] + rank, 0)
    token = ops.take(choices.number, place) % num_tokens
    received = exchange.all_to_all(ops.take(x, token, axis=0), num_choices)
    upto = ops.cumsum(exchange.all_to_all(count), axis=1)
    # Rows behind the last one count as no expert's.
    expert = ops.sum(ops.cast(rank[None, :, None] >= upto[:, None, :], "int32"), axis=2)
    theirs = choices_of(ops.reshape(expert, (-1,)), own)
    rows = ops.reshape(received, (-1, d_model))
    # Gates stay with the tokens, as does their gradient.
    answers = serve(rows, ops.ones(ops.shape(expert)[0] * length), theirs)
    returned = exchange.all_to_all(ops.reshape(answers, (parts, length, d_model)), num_choices)

    owner = ops.minimum(choices.expert, num_experts - 1) // own
    index = owner * length + choices.place - ops.take(start, owner)
    is_real = (choices.expert < num_experts)[:, None]
    index = ops.where(is_real[:, 0], index, 0)
    outputs = ops.take(ops.reshape(returned, (-1, d_model)), index, axis=0)
    outputs = ops.where(is_real, outputs * ops.cast(gate, x.dtype)[:, None], ops.zeros((), x.dtype))
    return ops.sum(ops.reshape(outputs, (-1, num_tokens, d_model)), axis=0)
