"""The picture of `growth`: measured costs as points, theory as dashed lines through the last."""

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, LogLocator, NullLocator

WHAT = ("milliseconds a step", "MiB")


class Curves(NamedTuple):
    """Costs of one model as something grows.

    Attributes:
        growth: what grows.
        name: of the model.
        values: what it grows to.
        measured: milliseconds and MiB, each by value.
        theory: the same.
    """

    growth: str
    name: str
    values: Sequence[int]
    measured: Sequence[Sequence[float]]
    theory: Sequence[Sequence[float]]


def draw(drawn: Sequence[Curves], path: str) -> None:
    """Writes the picture as PNG: a column for each thing that grows, time above memory.

    Theory is drawn through the last point, since how it grows is what is compared.
    """
    growths = list(dict.fromkeys(curves.growth for curves in drawn))
    colours = {name: f"C{i}" for i, name in enumerate(dict.fromkeys(c.name for c in drawn))}
    figure = Figure(figsize=(3.4 * len(growths), 5.6), layout="constrained")
    axes = figure.subplots(len(WHAT), len(growths), squeeze=False)
    for column, growth in enumerate(growths):
        for row, what in enumerate(WHAT):
            axis = axes[row, column]
            for curves in (c for c in drawn if c.growth == growth):
                costs, theory = curves.measured[row], curves.theory[row]
                through = [cost * costs[-1] / theory[-1] for cost in theory]
                colour = colours[curves.name]
                axis.plot(curves.values, costs, "o-", color=colour, ms=4)
                axis.plot(curves.values, through, "--", color=colour, lw=1)
            axis.set(xscale="log", yscale="log", title=what)
            axis.set_xlabel(growth)
            axis.set_xticks(curves.values, [f"{value:,}" for value in curves.values])
            axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.yaxis.set_major_formatter(EngFormatter(sep=""))
            for scale in (axis.xaxis, axis.yaxis):
                scale.set_minor_locator(NullLocator())
            axis.spines[["top", "right"]].set_visible(False)
    points = [Line2D([], [], marker="o", color=colour, label=n) for n, colour in colours.items()]
    dashes = Line2D([], [], ls="--", color="grey", label="theory")
    figure.legend(handles=[*points, dashes], loc="outside upper center", ncols=4, frameon=False)
    figure.savefig(path, dpi=150)
