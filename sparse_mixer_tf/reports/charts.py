"""The pictures of a report, as PNG, for light and for dark pages."""

import io
from collections.abc import Callable
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator, PercentFormatter

from sparse_mixer_tf.reports.run_log import RunLog

# At 400 pixels wide, 4.8 inches make 10 points 11.6 pixels: small, and still to be read.
WIDTH, HEIGHT, DOTS_PER_INCH = 4.8, 2.6, 200


@dataclass(frozen=True)
class Theme:
    ink: str
    faint: str
    train: str
    validation: str
    heat: str


LIGHT = Theme(ink="#24292f", faint="#c9ced6", train="#8c99a8", validation="#c2410c", heat="YlOrBr")
DARK = Theme(ink="#d5d9de", faint="#454c55", train="#7d8b9c", validation="#fb923c", heat="inferno")

# A metric, and what it is drawn beside.
BASELINES = {
    "masked_lm_accuracy": ("baseline_accuracy", "always the most frequent"),
    "bits_per_character": ("ngram_bits_per_character", "5-gram model"),
}
# Metric, title, unit of the axis. Others that both splits report follow under their own names.
CURVES = (
    ("masked_lm_accuracy", "Masked-word accuracy", "%"),
    ("score", "Score", "%"),
    ("accuracy", "Accuracy", "%"),
    ("bits_per_character", "Bits per character", ""),
    ("perplexity", "Perplexity", ""),
    ("next_accuracy", "Next symbol right", "%"),
    ("loss", "Loss", "nats"),
    ("masked_lm_loss", "Masked-word loss", "nats per word"),
    ("order_accuracy", "Sentence-order accuracy", "%"),
    ("order_loss", "Sentence-order loss", "nats per pair"),
    ("dropped_fraction", "Tokens no expert took", "%"),
    ("balance_loss", "Balance loss", "1 is even"),
    ("router_z_loss", "Router z-loss", "squared log-sum-exp"),
    ("learning_rate", "Learning rate", ""),
    ("gradient_norm", "Gradient norm", "before clipping"),
    ("tokens_per_second", "Speed", "tokens per second"),
    ("data_wait_fraction", "Time spent waiting for data", "%"),
)


@dataclass(frozen=True)
class Chart:
    """One picture: `draw(theme)` gives PNG bytes, `description` says it in words."""

    name: str
    description: str
    draw: Callable[[Theme], bytes]


def all_charts(log: RunLog) -> list[Chart]:
    """The pictures that the log has numbers for."""
    known = {key for key, _, _ in CURVES}
    others = [
        (key, key.replace("_", " ").capitalize(), "%" if _is_share(key) else "")
        for key in log.metrics_of_both_splits()
        if key not in known
    ]
    charts = [
        Chart(
            name=key,
            description=f"{title} over training steps",
            draw=lambda theme, k=key, t=title, u=unit: curve(log, k, t, u, theme),
        )
        for key, title, unit in (*CURVES, *others)
        if len(log.series(key, "train")[0]) or len(log.series(key, "validation")[0])
    ]
    if log.learned_spans():
        charts.append(
            Chart(
                name="learned_spans",
                description="Learned attention span of each head, by layer",
                draw=lambda theme: learned_spans(log, theme),
            )
        )
    if log.expert_load()[1]:
        charts.append(
            Chart(
                name="expert_load",
                description="Share of the tokens of each expert over training steps, by layer",
                draw=lambda theme: expert_load(log, theme),
            )
        )
    return charts


def curve(log: RunLog, key: str, title: str, unit: str, theme: Theme) -> bytes:
    """One metric over the steps, training and validation in one frame."""
    with matplotlib.rc_context(_style(theme)):
        figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
        axes = figure.subplots()
        axes.set_title(f"{title}, {unit}" if unit else title, loc="left")
        axes.set_xlabel("step")
        for split, color, marker in (
            ("train", theme.train, None),
            ("validation", theme.validation, "o"),
        ):
            steps, values = log.series(key, split)
            if len(steps):
                if len(steps) == 1:
                    marker = "o"
                axes.plot(steps, values, color=color, marker=marker, label=split)
        beside, label = BASELINES.get(key, (None, None))
        baseline = log.last(beside, "validation") if beside else None
        if baseline is not None:
            axes.axhline(baseline, color=theme.ink, linestyle=(0, (2, 3)), label=label)
        if unit == "%":
            axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None, symbol=""))
            axes.set_ylim(bottom=0)
        elif key in ("learning_rate", "tokens_per_second"):
            axes.yaxis.set_major_formatter(EngFormatter(sep=""))
            axes.set_ylim(bottom=0)
        _step_axis(axes)
        if len(axes.lines) > 1:
            axes.legend(loc="best")
        return _png(figure)


def expert_load(log: RunLog, theme: Theme) -> bytes:
    """Experts x steps, one band a layer; one colour scale, so that layers compare."""
    steps, layers = log.expert_load()
    highest = 100 * max(loads.max() for loads in layers.values())
    with matplotlib.rc_context(_style(theme)):
        figure = Figure(figsize=(WIDTH, 0.7 + 1.1 * len(layers)), layout="constrained")
        bands = figure.subplots(len(layers), sharex=True, squeeze=False)[:, 0]
        for band, (name, loads) in zip(bands, layers.items(), strict=True):
            image = band.pcolormesh(
                _edges(steps),
                np.arange(len(loads) + 1),
                100 * loads,
                cmap=theme.heat,
                vmin=0,
                vmax=highest,
            )
            band.set_ylabel("expert")
            band.yaxis.set_major_locator(MaxNLocator(4, integer=True))
            band.set_title(name, loc="left")
            band.grid(False)
        _step_axis(bands[-1])
        bands[-1].set_xlabel("step")
        figure.colorbar(image, ax=list(bands), label="% of the routed tokens", pad=0.02)
        return _png(figure)


def learned_spans(log: RunLog, theme: Theme) -> bytes:
    """A bar a head, one panel a layer, at the last evaluation."""
    layers = log.learned_spans()
    highest = max(1.0, *(max(heads) for heads in layers.values()))
    with matplotlib.rc_context(_style(theme)):
        figure = Figure(figsize=(WIDTH, 0.7 + 1.1 * len(layers)), layout="constrained")
        panels = figure.subplots(len(layers), sharex=True, squeeze=False)[:, 0]
        for panel, (name, heads) in zip(panels, layers.items(), strict=True):
            panel.bar(np.arange(len(heads)), heads, color=theme.validation)
            panel.set_ylim(0, 1.05 * highest)
            panel.set_ylabel("tokens")
            panel.set_title(f"{name}: learned span", loc="left")
        panels[-1].set_xlabel("head")
        panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
        return _png(figure)


def _edges(steps: np.ndarray) -> np.ndarray:
    """Borders of the columns of a heat map: each value holds until the next one."""
    width = steps[-1] - steps[-2] if len(steps) > 1 else 1
    return np.append(steps, steps[-1] + width)


def _is_share(key: str) -> bool:
    return key.endswith(("_accuracy", "_fraction"))


def _step_axis(axes) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))


def _style(theme: Theme) -> dict[str, object]:
    return {
        "font.size": 10,
        "axes.titlesize": 10,
        "axes.edgecolor": theme.faint,
        "axes.labelcolor": theme.ink,
        "axes.titlecolor": theme.ink,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.grid.axis": "y",
        "grid.color": theme.faint,
        "grid.linewidth": 0.4,
        "lines.linewidth": 1.1,
        "lines.markersize": 3,
        "xtick.color": theme.faint,
        "ytick.color": theme.faint,
        "xtick.labelcolor": theme.ink,
        "ytick.labelcolor": theme.ink,
        "text.color": theme.ink,
        "legend.frameon": False,
        "legend.fontsize": 9,
    }


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH, transparent=True)
    return buffer.getvalue()
