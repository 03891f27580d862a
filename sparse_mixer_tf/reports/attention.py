"""Pictures of attention: maps of one example, attention by distance, learned spans."""

import numpy as np
from matplotlib.ticker import MaxNLocator

from sparse_mixer_tf.experiments.log import RunLog
from sparse_mixer_tf.reports import html, plots
from sparse_mixer_tf.reports.html import Section
from sparse_mixer_tf.reports.plots import Chart, by_octave_parts, named, short_name
from sparse_mixer_tf.reports.theme import Theme, distinct


def section(log: RunLog, record: dict, arrays: dict[str, np.ndarray]) -> list[Section]:
    """Nothing where no sublayer attends, or none was looked at."""
    found, texts = [], []
    maps = named(arrays, "attention/")
    if maps:
        tile = record.get("attention_tile", 1)
        texts.append(
            "Each row is a token of one held-out example and where it looks: a diagonal is "
            "attention to neighbours, a column a token that all attend to."
        )
        note = f"{record.get('attended', 0):,} tokens"
        note += f"; a pixel is the mean of {tile} x {tile}." if tile > 1 else "."
        found.append(html.figure(_maps(maps, tile), note))
    distances = named(arrays, "distance/")
    if distances:
        texts.append(
            "A line that falls early is a head that looks at what has just been read, a flat one a "
            "head that looks everywhere."
        )
        found += [html.figure(_distance(name, m)) for name, m in distances.items()]
    if log.learned_spans():
        texts.append("A learned span is how far back a head may look before its ramp begins.")
        found.append(html.figure(_spans(log.learned_spans())))
    return [Section("Attention", " ".join(texts), html.charts(found))] if found else []


def _maps(maps: dict[str, np.ndarray], tile: int) -> Chart:
    panels = [
        (_head(name, head, len(heads)), heads[head])
        for name, heads in maps.items()
        for head in range(len(heads))
    ]

    def draw(theme):
        return plots.heat_maps(
            panels, theme, tile, ("attended token", "attending token"), "share of attention"
        )

    return Chart("attention", "Attention of each layer and head for one held-out example", draw)


def _head(name: str, head: int, heads: int) -> str:
    return f"{name} head {head}" if heads > 1 else f"{name} mean"


def _distance(name: str, mass: np.ndarray) -> Chart:
    """Attention [heads, span], the nearest token last, over the distance; both logarithmic."""
    heads, span = mass.shape

    def draw(theme):
        def label(axes):
            axes.set_title(f"{name}: attention by distance", loc="left")
            axes.set_xlabel("tokens back")
            axes.set_ylabel("% a token")
            axes.set_xscale("log", base=2)
            axes.set_yscale("log")
            axes.xaxis.set_major_formatter("{x:.0f}")

        curves = []
        for head in range(heads):
            x, y = by_octave_parts(mass[head, ::-1])
            curves.append((f"head {head}", x, 100 * np.where(y > 1e-7, y, np.nan)))
        return plots.lines(curves, theme, label, distinct(heads, theme.lines))

    return Chart(
        f"attention_distance_{name.replace(' ', '_').replace(',', '')}",
        f"Mean attention by distance of each head of layer {name}, up to {span} tokens back",
        draw,
    )


def _spans(layers: dict[str, list[float]]) -> Chart:
    return Chart(
        "learned_spans",
        "Learned attention span of each head, by layer",
        lambda theme: spans(layers, theme),
    )


def spans(layers: dict[str, list[float]], theme: Theme) -> bytes:
    """A bar a head, one panel a layer, at the last evaluation."""
    highest = max(1.0, *(max(heads) for heads in layers.values()))
    with plots.style(theme):
        columns = 1 if len(layers) < 3 else 2
        figure, frames = plots.panels(len(layers), columns, 0.35 * columns)
        for frame, (name, heads) in zip(frames, layers.items(), strict=True):
            frame.bar(np.arange(len(heads)), heads, color=theme.validation)
            frame.set_ylim(0, 1.05 * highest)
            frame.set_ylabel("tokens")
            frame.set_title(f"{short_name(name)}: learned span", loc="left")
            frame.xaxis.set_major_locator(MaxNLocator(integer=True))
        for frame in frames[-columns:]:
            frame.set_xlabel("head")
        return plots.png(figure)
