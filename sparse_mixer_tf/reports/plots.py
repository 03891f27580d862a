"""Pictures as PNG: how they look on every page, light and dark.

Many small pictures of one kind in one frame.
"""

import functools
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator
from PIL import Image

from sparse_mixer_tf.reports.theme import Theme

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
    """Set matplotlib's style inside a context."""
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


def panels(count: int, columns: int, ratio: float, **shared):
    """A figure with `count` frames in rows; frames left over are not drawn.

    Args:
        ratio: height of a frame over its width.

    Returns:
        The figure and its frames in reading order.
    """
    columns = min(columns, count)
    rows = -(-count // columns)
    figure = new_figure(0.35 + rows * (ratio * WIDTH / columns + 0.35))
    grid = figure.subplots(rows, columns, squeeze=False, **shared)
    frames = list(grid.ravel())
    for frame in frames[count:]:
        frame.set_axis_off()
    # Without `sharex` hiding them, the frames above an empty place show their own ticks.
    if shared.get("sharex"):
        for frame in frames[max(count - columns, 0) : count]:
            frame.tick_params(labelbottom=True)
    return figure, frames[:count]


def heat_maps(
    matrices: Sequence[tuple[str, np.ndarray]],
    theme: Theme,
    tile: int,
    labels: tuple[str, str],
    amount: str | None = None,
) -> bytes:
    """Matrices, one a frame.

    Args:
        matrices: (title, [rows, columns]).
        tile: positions that a pixel stands for.
        labels: of x and y, on the outer frames.
        amount: what positive values in one scale for all are; without it values have signs, and
            every frame a scale of its own, which its title names.
    """
    columns = min(3, len(matrices)) if len(matrices) != 4 else 2
    # A few outliers would leave the rest pale.
    most = [max(_high(matrix), 1e-12) for _, matrix in matrices]
    if amount:
        most = [max(most)] * len(most)
    with style(theme):
        # A colour bar takes its width from the frames, which are square.
        figure, frames = panels(len(matrices), columns, 0.8 if amount or columns == 1 else 1.0)
        for number, (frame, (title, matrix)) in enumerate(zip(frames, matrices, strict=True)):
            height, width = (size * tile for size in matrix.shape)
            image = frame.imshow(
                np.asarray(matrix, np.float32),
                cmap=amounts(theme) if amount else signs(theme),
                vmin=0 if amount else -most[number],
                vmax=most[number],
                extent=(0, width, height, 0),
                interpolation="nearest",
            )
            scale = "" if amount else f"  ±{most[number]:.2g}"
            frame.set_title(title + scale, loc="left", fontsize=9)
            frame.grid(False)
            for axis in (frame.xaxis, frame.yaxis):
                axis.set_major_locator(MaxNLocator(3, integer=True))
            frame.tick_params(labelsize=8)
            if number % columns == 0:
                frame.set_ylabel(labels[1])
            if number >= len(matrices) - columns:
                frame.set_xlabel(labels[0])
        if amount:
            figure.colorbar(image, ax=frames, label=amount, pad=0.02, shrink=0.6)
        return png(figure)


def _high(matrix: np.ndarray) -> float:
    return float(np.quantile(np.abs(np.asarray(matrix, np.float32)), 0.998))


def steps_heat(
    bands: Sequence[tuple[str, np.ndarray]], steps: np.ndarray, theme: Theme, label: str
) -> bytes:
    """Rows over training steps, one frame a name, all in one colour scale.

    Args:
        bands: (title, float [rows, steps]).
        label: of the colour bar.
    """
    highest = max(float(values.max()) for _, values in bands)
    columns = 1 if len(bands) < 3 else 2
    with style(theme):
        figure, frames = panels(len(bands), columns, 0.33 if columns == 1 else 0.6, sharex=True)
        for number, (frame, (title, values)) in enumerate(zip(frames, bands, strict=True)):
            image = frame.pcolormesh(
                edges(steps),
                np.arange(len(values) + 1) - 0.5,
                values,
                cmap=amounts(theme),
                vmin=0,
                vmax=highest,
            )
            frame.set_ylabel("" if number % columns else "expert")
            frame.yaxis.set_major_locator(MaxNLocator(4, integer=True))
            frame.set_title(title, loc="left")
            frame.grid(False)
            step_axis(frame, 5 if columns == 1 else 3)
            if number < len(bands) - columns:
                frame.set_xlabel("")
        figure.colorbar(image, ax=frames, label=label, pad=0.02)
        return png(figure)


def lines(
    curves: Sequence[tuple[str, np.ndarray, np.ndarray]],
    theme: Theme,
    draw_axes: Callable,
    colours: Sequence[str],
) -> bytes:
    """Lines in one frame, with a legend beside it if they are few enough to be told apart.

    Args:
        curves: (label, x, y).
        draw_axes: labels and scales the frame.
        colours: one a curve.
    """
    with style(theme):
        figure = new_figure()
        axes = figure.subplots()
        for (label, x, y), color in zip(curves, colours, strict=True):
            axes.plot(x, y, color=color, label=label, marker="o" if len(x) == 1 else None)
        draw_axes(axes)
        if 1 < len(curves) <= 4:
            axes.legend(loc="best")
        elif 4 < len(curves) <= 18:
            figure.legend(loc="outside right upper", ncols=1 if len(curves) <= 9 else 2)
        return png(figure)
