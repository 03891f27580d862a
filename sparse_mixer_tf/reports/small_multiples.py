"""Many small pictures of one kind in one frame."""

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.ticker import MaxNLocator

from sparse_mixer_tf.reports import drawing
from sparse_mixer_tf.reports.colours import Theme
from sparse_mixer_tf.reports.drawing import WIDTH


def panels(count: int, columns: int, ratio: float, **shared):
    """A figure with `count` frames in rows; frames left over are not drawn.

    Args:
        ratio: height of a frame over its width.

    Returns:
        The figure and its frames in reading order.
    """
    columns = min(columns, count)
    rows = -(-count // columns)
    figure = drawing.new_figure(0.35 + rows * (ratio * WIDTH / columns + 0.35))
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
    with drawing.style(theme):
        # A colour bar takes its width from the frames, which are square.
        figure, frames = panels(len(matrices), columns, 0.8 if amount or columns == 1 else 1.0)
        for number, (frame, (title, matrix)) in enumerate(zip(frames, matrices, strict=True)):
            height, width = (size * tile for size in matrix.shape)
            image = frame.imshow(
                np.asarray(matrix, np.float32),
                cmap=drawing.amounts(theme) if amount else drawing.signs(theme),
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
        return drawing.png(figure)


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
    with drawing.style(theme):
        figure, frames = panels(len(bands), columns, 0.33 if columns == 1 else 0.6, sharex=True)
        for number, (frame, (title, values)) in enumerate(zip(frames, bands, strict=True)):
            image = frame.pcolormesh(
                drawing.edges(steps),
                np.arange(len(values) + 1) - 0.5,
                values,
                cmap=drawing.amounts(theme),
                vmin=0,
                vmax=highest,
            )
            frame.set_ylabel("" if number % columns else "expert")
            frame.yaxis.set_major_locator(MaxNLocator(4, integer=True))
            frame.set_title(title, loc="left")
            frame.grid(False)
            drawing.step_axis(frame, 5 if columns == 1 else 3)
            if number < len(bands) - columns:
                frame.set_xlabel("")
        figure.colorbar(image, ax=frames, label=label, pad=0.02)
        return drawing.png(figure)


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
    with drawing.style(theme):
        figure = drawing.new_figure()
        axes = figure.subplots()
        for (label, x, y), color in zip(curves, colours, strict=True):
            axes.plot(x, y, color=color, label=label, marker="o" if len(x) == 1 else None)
        draw_axes(axes)
        if 1 < len(curves) <= 4:
            axes.legend(loc="best")
        elif 4 < len(curves) <= 18:
            figure.legend(loc="outside right upper", ncols=1 if len(curves) <= 9 else 2)
        return drawing.png(figure)
