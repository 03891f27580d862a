"""The matrices that mixing layers have learned, as pictures, and their reach."""

import numpy as np

from sparse_mixer_tf.reports import html, plots
from sparse_mixer_tf.reports.html import Section
from sparse_mixer_tf.reports.plots import Chart, by_octave_parts, named
from sparse_mixer_tf.reports.theme import distinct


def section(record: dict, arrays: dict[str, np.ndarray]) -> list[Section]:
    """Nothing where no sublayer has learned to mix."""
    matrices = named(arrays, "mixing/")
    if not matrices:
        return []
    tile = record.get("mixing_tile", 1)
    text = (
        "Row i of a matrix says what position i takes from every position: a strong diagonal is a "
        "layer that looks at neighbours, columns are positions that everybody reads."
    )
    note = f"A pixel is the mean of {tile} x {tile} weights." if tile > 1 else ""
    found = [html.figure(_matrices(matrices, tile), note)]
    reaches = named(arrays, "reach/")
    if reaches:
        found.append(html.figure(_reach(reaches)))
    return [Section("Mixing", text, html.charts(found))]


def _matrices(matrices: dict[str, np.ndarray], tile: int) -> Chart:
    def draw(theme):
        return plots.heat_maps(
            list(matrices.items()), theme, tile, ("from position", "to position")
        )

    return Chart("mixing_matrices", "Sequence matrix of each mixing layer", draw)


def _reach(reaches: dict[str, np.ndarray]) -> Chart:
    """Both sides of a position, the distances logarithmic."""

    def draw(theme):
        def label(axes):
            axes.set_title("Mean size of a weight", loc="left")
            axes.set_xlabel("positions before and behind")
            axes.set_xscale("symlog", linthresh=1, linscale=0.6)
            axes.set_xticks(_ticks(max(map(len, reaches.values())) // 2))
            axes.minorticks_off()
            axes.xaxis.set_major_formatter("{x:+.0f}")
            axes.set_ylim(bottom=0)

        curves = [(name, *_two_sided(values)) for name, values in reaches.items()]
        colours = distinct(len(curves), theme.lines)
        return plots.lines(curves, theme, label, colours)

    return Chart("mixing_reach", "Mean size of the mixing weights by distance, by layer", draw)


def _two_sided(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    middle = len(values) // 2
    back, before = by_octave_parts(values[middle - 1 :: -1] if middle else values[:0], 3)
    ahead, behind = by_octave_parts(values[middle + 1 :], 3)
    x = np.concatenate([-back[::-1], [0], ahead])
    return x, np.concatenate([before[::-1], values[middle : middle + 1], behind])


def _ticks(length: int) -> list[int]:
    one_side = [2**power for power in range(0, 20, 2) if 2**power <= length]
    return [*(-tick for tick in reversed(one_side)), 0, *one_side]
