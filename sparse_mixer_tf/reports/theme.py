"""The colours of pages and pictures, for light and for dark ones.

How a page looks.
"""

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


def _variables(theme: Theme, right: str, raised: str) -> str:
    return (
        f"--ink: {theme.ink}; --soft: {theme.soft}; --line: {theme.faint}; "
        f"--paper: {theme.paper}; --accent: {theme.validation}; --cold: {theme.cold}; "
        f"--right: {right}; --raised: {raised};"
    )


STYLE = (
    f"""
:root {{ color-scheme: light dark; {_variables(LIGHT, "#1a7f37", "#f6f8fa")} }}
@media (prefers-color-scheme: dark) {{
  :root {{ {_variables(DARK, "#57ab5a", "#1c2026")} }} }}
"""
    + """
* { box-sizing: border-box; }
html { scroll-behavior: smooth; -webkit-text-size-adjust: 100%; }
body { margin: 0 auto; max-width: 68rem; padding: 1.5rem 1rem 5rem; color: var(--ink);
  background: var(--paper); font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.75rem; line-height: 1.2; font-weight: 650; margin: 0 0 .25rem; }
h2 { font-size: 1.25rem; font-weight: 650; margin: 0 0 .25rem; }
h3 { font-size: 1rem; font-weight: 650; margin: 1.75rem 0 .25rem; }
a { color: inherit; }
section { margin-top: 2.25rem; padding-top: 1.5rem; border-top: 1px solid var(--line); }
.caption, figcaption, .soft { color: var(--soft); }
.caption { margin: 0 0 1rem; max-width: 46rem; }
figcaption { font-size: .85rem; margin-top: .25rem; }
nav { display: flex; flex-wrap: wrap; gap: .35rem 1rem; margin-top: 1.25rem; font-size: .9rem; }
nav a { color: var(--soft); text-decoration: none; }
nav a:hover { color: var(--accent); }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem 1.25rem .25rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); font-weight: 400; }
th { color: var(--soft); }
.number { text-align: right; white-space: nowrap; }
.scroll { overflow-x: auto; max-width: 100%; }
.scroll td, .scroll th { overflow-wrap: break-word; }
.scroll td:not(.number) { min-width: 8rem; }
.tiles { display: grid; gap: .75rem; margin: 1.25rem 0;
  grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); }
.tile { background: var(--raised); border-radius: .5rem; padding: .7rem .9rem; }
.tile b { display: block; font-size: 1.5rem; line-height: 1.25; font-weight: 650;
  font-variant-numeric: tabular-nums; }
.tile span { display: block; font-size: .85rem; line-height: 1.35; color: var(--soft); }
.letters { display: flex; flex-wrap: wrap; gap: 3px; margin: .75rem 0 0; }
.letters span { width: 1.55rem; height: 1.55rem; line-height: 1.55rem; text-align: center;
  border-radius: .25rem; font-size: .85rem; background: var(--raised); }
.letters .g { background: var(--accent); color: var(--paper); }
.letters .s { background: var(--cold); color: var(--paper); }
.letters .gap { background: none; width: .5rem; }
figure { margin: 0; min-width: 0; }
img { display: block; width: 100%; height: auto; }
.charts { display: grid; gap: 1.5rem; align-items: start;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 25rem), 1fr)); }
.charts figure { max-width: 34rem; }
blockquote { margin: 1.5rem 0 .5rem; padding-left: .9rem; border-left: 2px solid var(--line); }
.right { color: var(--right); font-weight: 600; }
.bar { display: inline-block; width: 7rem; height: .6rem; margin-right: .6rem;
  background: var(--raised); border-radius: .2rem; overflow: hidden; }
.bar i { display: block; height: 100%; background: var(--accent); }
.tabs { display: flex; flex-wrap: wrap; gap: .4rem; }
.tabs > input { position: absolute; opacity: 0; width: 1px; height: 1px; }
.tabs > label { order: 0; padding: .2rem .7rem; border: 1px solid var(--line);
  border-radius: 1rem; font-size: .9rem; cursor: pointer; color: var(--soft); }
.tabs > input:checked + label { border-color: var(--accent); color: var(--accent); }
.tabs > input:focus-visible + label { outline: 2px solid var(--cold); outline-offset: 1px; }
.tabs > .panel { order: 1; width: 100%; display: none; min-width: 0; }
.tabs > input:checked + label + .panel { display: block; }
details > summary { cursor: pointer; color: var(--soft); }
.coloured { line-height: 2; white-space: pre-wrap; max-width: 52rem; }
.coloured > span { border-radius: .2rem; padding: .1rem 0; }
.coloured .none { text-decoration: underline dotted var(--soft); text-underline-offset: .25em; }
.coloured sup, .chip { font-size: .65rem; font-variant-numeric: tabular-nums; }
.coloured sup { line-height: 0; padding: 0 .1rem; opacity: .8; }
.chip { display: inline-block; min-width: 1.6rem; padding: .1rem .3rem; border-radius: .25rem;
  text-align: center; font-size: .8rem; color: var(--ink); }
.expert { display: grid; grid-template-columns: 2.4rem 13rem 1fr; gap: .25rem .5rem;
  padding: .4rem 0; border-bottom: 1px solid var(--line); align-items: baseline; }
@media (max-width: 44rem) {
  .expert { grid-template-columns: 2.4rem 1fr; }
  .expert .words { grid-column: 1 / -1; } }
.expert > div { white-space: nowrap; }
.expert > .words { white-space: normal; min-width: 0; }
.samples { display: grid; gap: .5rem 2.5rem; align-items: start;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 25rem), 1fr)); }
.words span { display: inline-block; max-width: 100%; margin: 0 .9rem .1rem 0; }
.words small { color: var(--soft); white-space: nowrap; }
.key { display: inline-block; width: .8rem; height: .8rem; border-radius: .2rem;
  margin-right: .4rem; vertical-align: -.05rem; }
"""
)


def expert_colours(count: int) -> str:
    """CSS of the classes `x0`, `x1`, …, which colour what an expert takes."""
    return series_colours("x", count, LIGHT.tints, DARK.tints)


def series_colours(prefix: str, count: int, light: tuple, dark: tuple) -> str:
    """CSS of backgrounds that tell `count` things apart in both colour schemes."""

    def rules(levels: tuple) -> str:
        colours = distinct(count, levels)
        return "".join(f".{prefix}{i} {{ background: {c}; }}\n" for i, c in enumerate(colours))

    return f"{rules(light)}@media (prefers-color-scheme: dark) {{\n{rules(dark)}}}\n"
