"""Pictures as PNG: how they look on every page, light and dark."""

import functools
import io
from collections.abc import Callable
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator
from PIL import Image

from sparse_mixer_tf.reports.colours import Theme

# At 400 pixels wide, 4.8 inches make 10 points 11 pixels: small, and still to be read.
WIDTH, HEIGHT, DOTS_PER_INCH = 4.8, 2.6, 180


@dataclass(frozen=True)
class Chart:
    """One picture: `draw(theme)` gives PNG bytes, `description` says it in words.

    Each theme is drawn once.
    """

    name: str
    description: str
    draw: Callable[[Theme], bytes]

    def __post_init__(self):
        object.__setattr__(self, "draw", functools.cache(self.draw))


def new_figure(height: float = HEIGHT) -> Figure:
    """An empty figure of the usual width, inches high; to be drawn within `style`."""
    return Figure(figsize=(WIDTH, height), dpi=DOTS_PER_INCH, layout="constrained")


def style(theme: Theme):
    """What matplotlib draws with, as a context."""
    return matplotlib.rc_context(
        {
            "figure.facecolor": "none",
            "axes.facecolor": "none",
            "font.size": 10,
            "axes.titlesize": 10,
            "axes.edgecolor": theme.faint,
            "axes.labelcolor": theme.ink,
            "axes.titlecolor": theme.ink,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.axisbelow": True,
            "axes.grid": True,
            "axes.grid.axis": "y",
            "grid.color": theme.faint,
            "grid.linewidth": 0.5,
            "lines.linewidth": 1.3,
            "lines.markersize": 3,
            "xtick.color": theme.faint,
            "ytick.color": theme.faint,
            "xtick.labelcolor": theme.ink,
            "ytick.labelcolor": theme.ink,
            "text.color": theme.ink,
            "legend.frameon": False,
            "legend.fontsize": 9,
        }
    )


def png(figure: Figure) -> bytes:
    """The figure on a transparent ground, in 256 colours: a third of the size, to the eye alike."""
    # `savefig` would draw it twice, and write a file that only this function reads.
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    drawn = Image.fromarray(np.asarray(canvas.buffer_rgba()))
    fewer = drawn.quantize(256, method=Image.Quantize.FASTOCTREE)
    small = io.BytesIO()
    fewer.save(small, format="png", optimize=True)
    return small.getvalue()


def amounts(theme: Theme) -> LinearSegmentedColormap:
    """From nothing, the paper, to much."""
    return LinearSegmentedColormap.from_list("amounts", [theme.paper, theme.validation, theme.deep])


def signs(theme: Theme) -> LinearSegmentedColormap:
    """From negative through nothing, the paper, to positive."""
    return LinearSegmentedColormap.from_list("signs", [theme.cold, theme.paper, theme.validation])


def step_axis(axes, ticks: int = 5) -> None:
    """Training steps along x."""
    axes.xaxis.set_major_locator(MaxNLocator(ticks, integer=True))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set_xlabel("step")


def edges(steps: np.ndarray) -> np.ndarray:
    """Borders of the columns of a heat map: each value holds until the next one."""
    width = steps[-1] - steps[-2] if len(steps) > 1 else 1
    return np.append(steps, steps[-1] + width)


def short_name(layer: str) -> str:
    """`03 g` of `sublayer_03_g/moe`, with its use where it has several."""
    name, _, use = layer.partition(", ")
    name = name.partition("/")[0].removeprefix("sublayer_").replace("_", " ")
    return f"{name}, {use}" if use else name


def named(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """The arrays of an inspection whose names begin so, by the short names of their layers."""
    return {
        short_name(name.removeprefix(prefix)): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }


def by_octave_parts(values: np.ndarray, parts: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Means over stretches of distances that grow with the distance, so that noise does not.

    Args:
        values: [span], at the distances 1, 2, ….
        parts: stretches of one doubling.

    Returns:
        Mean distance and mean value of each stretch.
    """
    distance = np.arange(1, len(values) + 1)
    stretch = np.round(parts * np.log2(distance)).astype(int)
    _, stretch = np.unique(stretch, return_inverse=True)
    count = np.bincount(stretch)
    return np.bincount(stretch, distance) / count, np.bincount(stretch, values) / count
