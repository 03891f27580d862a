"""The colours of pages and pictures, for light and for dark ones."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Theme:
    """Colours by what they are for.

    Attributes:
        ink, soft, faint, paper: of text, of less important text, of lines, of the page.
        train, validation: of the two splits; `validation` is also the one accent of the page.
        cold: what the accent is opposed to.
        deep: the far end of a scale from the paper through the accent.
        lines: (lightness, chroma) of coloured lines; pairs of them that take turns.
        tints: the same for the background of coloured words.
    """

    ink: str
    soft: str
    faint: str
    paper: str
    train: str
    validation: str
    cold: str
    deep: str
    lines: tuple[tuple[float, float], ...]
    tints: tuple[tuple[float, float], ...]


LIGHT = Theme(
    ink="#24292f",
    soft="#656d76",
    faint="#d8dde3",
    paper="#ffffff",
    train="#8c99a8",
    validation="#c2410c",
    cold="#1d4ed8",
    deep="#5b1a02",
    lines=((0.55, 0.16), (0.70, 0.13)),
    tints=((0.93, 0.07), (0.83, 0.11)),
)
DARK = Theme(
    ink="#d5d9de",
    soft="#8b949e",
    faint="#30363d",
    paper="#15181c",
    train="#7d8b9c",
    validation="#fb923c",
    cold="#6ea8fe",
    deep="#fff1e0",
    lines=((0.78, 0.13), (0.64, 0.15)),
    tints=((0.32, 0.07), (0.44, 0.11)),
)


def distinct(count: int, levels: tuple[tuple[float, float], ...]) -> list[str]:
    """Colours to tell `count` things apart: hues all around, lightness taking turns.

    Neighbours differ in both, so sixteen are told apart where hues alone would be too close.

    Args:
        count: how many.
        levels: (lightness, chroma) in OKLCH; `Theme.lines` or `Theme.tints`.

    Returns:
        `#rrggbb` each.
    """
    return [
        oklch(*levels[index % len(levels)], 30 + 360 * index / max(count, 1))
        for index in range(count)
    ]


def oklch(lightness: float, chroma: float, hue: float) -> str:
    """`#rrggbb` of a colour, out of gamut clipped.

    Args:
        lightness: of [0, 1], as perceived.
        chroma: 0 is grey; sRGB holds up to about 0.3.
        hue: in degrees.

    References:
        Björn Ottosson, A perceptual color space for image processing, 2020.
    """
    a, b = chroma * math.cos(math.radians(hue)), chroma * math.sin(math.radians(hue))
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    linear = (
        4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
    )
    return "#" + "".join(f"{round(255 * _gamma(channel)):02x}" for channel in linear)


def _gamma(channel: float) -> float:
    channel = min(max(channel, 0.0), 1.0)
    return 12.92 * channel if channel <= 0.0031308 else 1.055 * channel ** (1 / 2.4) - 0.055
