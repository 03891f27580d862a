"""The grammar of architecture strings: parse, print, check, lay out.

Every model is a string of residual sublayers, one letter each. `.` separates blocks for the eye and
`N*(…)` repeats, so that BERT Base is `12*(sf)` and Sparse Mixer Base `5*(lf)4*(lg)lf4*(sf)`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

SUBLAYERS = {
    "s": "self-attention",
    "f": "dense feed-forward",
    "g": "mixture-of-experts feed-forward",
    "l": "linear mixing",
    "r": "Fourier mixing",
    "h": "Hartley mixing",
    "c": "circulant mixing",
    "t": "Toeplitz mixing",
}
MIXING_LETTERS = "lrhct"
LAYOUTS = ("bottom", "middle", "mixed", "top")
MAX_CHARACTERS = 1_000
MAX_UNIT = 24


class ArchitectureError(ValueError):
    """An architecture string that says nothing, with a caret under the character at fault."""

    def __init__(self, problem: str, text: str, position: int):
        super().__init__(f"{problem}\n  {text}\n  {' ' * position}^")


@dataclass(frozen=True)
class Architecture:
    """A parsed architecture string.

    Attributes:
        text: the string with its repeats spelled out, dots kept: `s.sfsf.f`.
        blocks: the letters between the dots, empty blocks left out: `("s", "sfsf", "f")`.
    """

    text: str
    blocks: tuple[str, ...]

    @property
    def letters(self) -> str:
        """All sublayers in order, dots left out."""
        return "".join(self.blocks)

    def __str__(self) -> str:
        return compress(self.text)


def parse(text: str) -> Architecture:
    """Reads an architecture string such as `5*(lf)4*(lg)lf4*(sf)`.

    Raises:
        ArchitectureError: for an unknown letter, an unbalanced bracket, a repeat of nothing.
    """
    if not text or not text.strip():
        raise ArchitectureError(
            "--architecture is empty; expected sublayer letters such as 12*(sf)", text, 0
        )
    spelled, position = _parse_sequence(text, 0, depth=0)
    if position != len(text):
        raise ArchitectureError("')' without a '(' before it", text, position)
    blocks = tuple(block for block in spelled.split(".") if block)
    if not blocks:
        raise ArchitectureError("--architecture holds dots but no sublayer", text, 0)
    return Architecture(spelled, blocks)


def _parse_sequence(text: str, position: int, depth: int) -> tuple[str, int]:
    """Reads up to the closing bracket of this depth or the end; returns it spelled out."""
    spelled = ""
    while position < len(text):
        character = text[position]
        if character == ")":
            break
        if character in SUBLAYERS or character == ".":
            spelled += character
            position += 1
        elif character.isascii() and character.isdigit():
            repeated, position = _parse_repeat(text, position, depth)
            spelled += repeated
        else:
            raise ArchitectureError(
                f"{character!r} in --architecture is not a sublayer; expected one of "
                f"{' '.join(SUBLAYERS)}, '.' between blocks, or N*(…) to repeat",
                text,
                position,
            )
        if len(spelled) > MAX_CHARACTERS:
            raise ArchitectureError(
                f"--architecture spells out to more than {MAX_CHARACTERS} sublayers",
                text,
                position - 1,
            )
    return spelled, position


def _parse_repeat(text: str, position: int, depth: int) -> tuple[str, int]:
    start = position
    while position < len(text) and text[position].isascii() and text[position].isdigit():
        position += 1
    if text[position : position + 2] != "*(":
        raise ArchitectureError("a number repeats a group and is written N*(…)", text, position)
    # Bounded before int() and before multiplying, so that a hostile string costs nothing.
    count = int(text[start:position]) if position - start <= 5 else MAX_CHARACTERS + 1
    if not 1 <= count <= MAX_CHARACTERS:
        raise ArchitectureError(f"a repeat count is from 1 to {MAX_CHARACTERS}", text, start)
    if depth == 8:
        raise ArchitectureError("repeats are nested more than 8 deep", text, start)
    opening = position + 1
    group, position = _parse_sequence(text, opening + 1, depth + 1)
    if position == len(text):
        raise ArchitectureError("'(' is never closed", text, opening)
    if not group:
        raise ArchitectureError("a repeat of nothing", text, opening)
    if len(group) * count > MAX_CHARACTERS:
        raise ArchitectureError(
            f"--architecture spells out to more than {MAX_CHARACTERS} sublayers", text, start
        )
    return group * count, position + 1


def compress(spelled: str) -> str:
    """Writes a spelled-out string with repeats as briefly as it can, so that it parses to the same.

    Among equally brief ones it prefers groups that begin with what mixes tokens: `lf4*(sf)`, not
    `l4*(fs)f`.
    """
    # best[i]: (length, groups that begin with f or g, text) of spelled[i:], filled from the right.
    best = [(0, 0, "")] * (len(spelled) + 1)
    for start in range(len(spelled) - 1, -1, -1):
        length, awkward, text = best[start + 1]
        choice = (length + 1, awkward, spelled[start] + text)
        for size in range(1, min(MAX_UNIT, (len(spelled) - start) // 2) + 1):
            unit = spelled[start : start + size]
            count = 1
            while spelled.startswith(unit, start + count * size):
                count += 1
                length, awkward, text = best[start + count * size]
                group = f"{count}*({unit})"
                choice = min(
                    choice, (length + len(group), awkward + (unit[0] in "fg"), group + text)
                )
        best[start] = choice
    return best[0][2]


def check_causal(architecture: Architecture, router: str | None = None) -> None:
    """Refuses what would let a position see a later one.

    Args:
        router: the router of the `g` sublayers, if there are any.

    Raises:
        ArchitectureError: for a mixing sublayer, or experts that choose their tokens.
    """
    for position, letter in enumerate(architecture.text):
        if letter in MIXING_LETTERS:
            raise ArchitectureError(
                f"{SUBLAYERS[letter]} ({letter!r}) sees the whole sequence and cannot stand in a "
                "causal model; use s, f and g",
                architecture.text,
                position,
            )
        if letter == "g" and router == "experts_choose":
            raise ArchitectureError(
                "--router=experts_choose looks at all tokens before it routes any and cannot stand "
                "in a causal model; use --router=dropless",
                architecture.text,
                position,
            )


def check_nlayers(architecture: Architecture, nlayers: int | None) -> None:
    """Checks `--nlayers`, which is half the characters of the spelled-out string, dots counted."""
    characters = len(architecture.text)
    if nlayers is not None and 2 * nlayers != characters:
        raise ArchitectureError(
            f"--nlayers={nlayers} does not fit: the string has {characters} characters, dots "
            f"counted, so it is {characters / 2:g}; set that, or leave --nlayers out",
            architecture.text,
            characters,
        )


def replaced_layers(
    num_layers: int, num_replaced: int, layout: str | Sequence[int]
) -> tuple[int, ...]:
    """The layers that a layout of the Sparse Mixers paper replaces.

    Args:
        layout: `bottom`, `middle`, `mixed`, `top`, or the layers themselves. `mixed` spaces them
            evenly from layer 0 and, as in the original, may replace more than `num_replaced`.

    References:
        [Sparse Mixers, section 4](https://arxiv.org/abs/2205.12399)
    """
    if not isinstance(layout, str):
        layers = tuple(sorted(set(layout)))
        wrong = [layer for layer in layers if not 0 <= layer < num_layers]
        if wrong:
            raise ValueError(
                f"layer {wrong[0]} is not in the model; expected 0 to {num_layers - 1}"
            )
        return layers
    if layout not in LAYOUTS:
        raise ValueError(f"layout {layout!r} is unknown; expected one of {', '.join(LAYOUTS)}")
    if not 0 <= num_replaced <= num_layers:
        raise ValueError(
            f"{num_replaced} layers cannot be replaced in a model of {num_layers}; "
            f"expected 0 to {num_layers}"
        )
    n, size = num_replaced, num_layers
    if n == 0:
        return ()
    chosen = {
        "bottom": lambda layer: layer < n,
        "middle": lambda layer: size - n <= 2 * layer < size + n,
        "mixed": lambda layer: layer % (size // n) == 0,
        "top": lambda layer: layer >= size - n,
    }[layout]
    return tuple(layer for layer in range(size) if chosen(layer))


def lay_out(
    mixing: str,
    num_layers: int,
    num_attention_layers: int = 0,
    attention_layout: str | Sequence[int] = "top",
    num_moe_layers: int = 0,
    moe_layout: str | Sequence[int] = "middle",
) -> str:
    """Writes the paper's layouts as an architecture string.

    >>> lay_out("l", 14, 4, "top", 4, "middle")
    '5*(lf)4*(lg)lf4*(sf)'
    """
    if mixing not in tuple(MIXING_LETTERS) + ("s",):
        raise ValueError(
            f"mixing {mixing!r} is unknown; expected one of {' '.join(MIXING_LETTERS)} or s"
        )
    attention = replaced_layers(num_layers, num_attention_layers, attention_layout)
    experts = replaced_layers(num_layers, num_moe_layers, moe_layout)
    return compress(
        "".join(
            ("s" if layer in attention else mixing) + ("g" if layer in experts else "f")
            for layer in range(num_layers)
        )
    )
