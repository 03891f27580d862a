"""From a parsed architecture string to sublayers; the one way for every model."""

from collections.abc import Callable

import keras

from sparse_mixer_tf.architecture import Architecture
from sparse_mixer_tf.layers import FeedForward, MixtureOfExperts, RoutingSettings

Stack = tuple[tuple[keras.layers.Layer, ...], ...]


def stack_sublayers(
    layout: Architecture,
    make_sublayer: Callable[[str, str], keras.layers.Layer],
    share_block_weights: bool,
) -> Stack:
    """Makes the sublayers of every block, and none that no letter asks for.

    Args:
        layout: a parsed architecture string.
        make_sublayer: from a letter and a name, which is the position of the letter's first use.
        share_block_weights: letters repeated inside one block are one sublayer.

    Returns:
        For each block its sublayers in order; a shared one several times.
    """
    blocks, index = [], 0
    for letters in layout.blocks:
        shared, block = {}, []
        for letter in letters:
            if letter not in shared or not share_block_weights:
                shared[letter] = make_sublayer(letter, f"sublayer_{index:02d}_{letter}")
            block.append(shared[letter])
            index += 1
        blocks.append(tuple(block))
    return tuple(blocks)


def check_routing(architecture: str, layout: Architecture, routing) -> RoutingSettings | None:
    """The routing settings of a model.

    Args:
        architecture: the string as it was given.
        layout: the same, parsed.
        routing: a `RoutingSettings`, a dict of its fields, or None.

    Raises:
        ValueError: for a `g` without settings, or a setting out of range.
    """
    if "g" in layout.letters and routing is None:
        raise ValueError(
            f"architecture {architecture!r} has experts (g) but routing is None; "
            "pass RoutingSettings(num_experts=16) or a dict of its fields"
        )
    return RoutingSettings.from_dict(routing) if isinstance(routing, dict) else routing


def feed_forward_sublayer(
    letter: str,
    *,
    d_ff: int,
    expert_d_ff: int,
    routing: RoutingSettings | None,
    dropout_rate: float,
    expert_dropout_rate: float,
    inner_dropout_rate: float = 0.0,
    activation: str = "gelu",
    initializer: str = "normal",
    dtype=None,
) -> keras.layers.Layer | None:
    """Return the sublayer of the letter `f` or `g`, the same in every model.

    Args:
        letter: any letter.
        inner_dropout_rate: dropout after the activation, in `f` and in every expert.
        activation: of `f`; experts, which have no gate of their own, take gelu for `gated_gelu`.

    Returns:
        An unbuilt layer, or None where the letter stands for something else.
    """
    shared = {"inner_dropout_rate": inner_dropout_rate, "initializer": initializer, "dtype": dtype}
    if letter == "f":
        return FeedForward(d_ff, dropout_rate, activation, name="feed_forward", **shared)
    if letter == "g":
        activation = activation.removeprefix("gated_")
        return MixtureOfExperts(
            expert_d_ff, routing, expert_dropout_rate, activation, name="moe", **shared
        )
    return None
