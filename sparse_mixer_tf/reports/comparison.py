"""Runs side by side on one page: their curves in one frame, their scores, what sets them apart."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np

from sparse_mixer_tf.experiments.log import RunLog, read
from sparse_mixer_tf.reports import curves, experts, html, plots, summary, timing
from sparse_mixer_tf.reports.html import Section, duration
from sparse_mixer_tf.reports.plots import Chart, short_name
from sparse_mixer_tf.reports.theme import DARK, LIGHT, Theme, distinct, series_colours
from sparse_mixer_tf.training.workdir import write_atomically

_LONGEST_NAME = 80
# Metric, title, how it is written, whether more is better.
_SCORES = (
    ("score", "score", "{:.1%}", True),
    ("masked_lm_accuracy", "masked words right", "{:.1%}", True),
    ("order_accuracy", "sentence order right", "{:.1%}", True),
    ("bits_per_character", "bits per character", "{:.3f}", False),
    ("perplexity", "perplexity", "{:,.1f}", False),
    ("next_accuracy", "next symbol right", "{:.1%}", True),
    ("loss", "loss, nats", "{:.4f}", False),
)


@dataclass(frozen=True)
class Run:
    """A run and what it is called on the page."""

    name: str
    log: RunLog


def default_folder(workdirs: Sequence[Path]) -> Path:
    """A folder beside the first run, named after all of them."""
    names = "_".join(run.resolve().name for run in workdirs)
    return workdirs[0].resolve().parent / f"comparison_{names[:_LONGEST_NAME]}"


def write(workdirs: Sequence[Path], folder: Path) -> Path:
    """Writes `index.html`.

    Args:
        workdirs: of the runs, in the order in which they are shown.
        folder: made where it is missing.

    Returns:
        The path of the page.

    Raises:
        SettingsError: one of them holds no run, or one that has logged nothing.
    """
    runs = [Run(name, read(path)) for name, path in zip(names(workdirs), workdirs, strict=True)]
    folder.mkdir(parents=True, exist_ok=True)
    title = " · ".join(run.name for run in runs)
    text = html.document(
        title,
        _head(title, runs),
        _sections(runs),
        series_colours("key", len(runs), LIGHT.lines, DARK.lines),
    )
    page = folder / "index.html"
    write_atomically(page, text)
    return page


def names(workdirs: Sequence[Path]) -> list[str]:
    """The last parts of the paths, as many as it takes to tell them apart."""
    parts = [path.resolve().parts for path in workdirs]
    for length in range(1, max(map(len, parts)) + 1):
        found = ["/".join(part[-length:]) for part in parts]
        if len(set(found)) == len(found):
            return found
    return [f"{path} ({number})" for number, path in enumerate(workdirs, 1)]


def _head(title: str, runs: list[Run]) -> str:
    rows = []
    for number, run in enumerate(runs):
        settings = run.log.settings
        letters = summary.letters(settings.get("model.architecture", ""))
        what = f'<div class="soft">{escape(summary.subtitle(run.log, {}))}</div>'
        rows.append(f"<h3>{_key(number)}{escape(run.name)}</h3>{what}{letters}")
    return f"<h1>{escape(title)}</h1>{''.join(rows)}"


def _sections(runs: list[Run]) -> list[Section]:
    found = [
        Section(
            "Final scores",
            "At the last evaluation of each run; of runs on the same data the best stands out.",
            _scores(runs),
        ),
        Section(
            "Curves",
            "Held-out numbers are drawn through; those of training are pale. Compare at equal "
            "steps, and mind that steps of different runs may differ in tokens.",
            html.charts(map(html.figure, _curves(runs))),
        ),
        Section(
            "Settings that differ",
            "What is not listed is the same in all of them.",
            _differences(runs),
        ),
    ]
    loads = _loads(runs)
    if loads:
        text = "Share of each expert at the last evaluation, the busiest first: flat is even."
        found.append(Section("Expert load", text, html.charts(map(html.figure, loads))))
    return found


def _scores(runs: list[Run]) -> str:
    rows = []
    for metric, title, form, more in _SCORES:
        values = [run.log.last(metric, "validation") for run in runs]
        present = [value for value in values if value is not None]
        if present:
            cells = ["–" if value is None else form.format(value) for value in values]
            if len(present) > 1 and _are_comparable(runs):
                best = max(present) if more else min(present)
                cells = _stand_out(cells, [value == best for value in values])
            rows.append((title, *cells))
    logs = [run.log for run in runs]
    rows.append(("steps", *(f"{summary.last_step(log):,}" for log in logs)))
    speeds = [log.series("tokens_per_second", "train")[1] for log in logs]
    rows.append(("tokens a second", *(f"{np.median(s):,.0f}" if len(s) else "–" for s in speeds)))
    trained = [log.last("seconds", "train") for log in logs]
    rows.append(("time of training", *("–" if t is None else duration(t) for t in trained)))
    waits = [timing.loop_parts(log) for log in logs]
    if any(waits):
        whole = [sum(parts.values()) for parts in waits]
        cells = [duration(seconds) if seconds else "–" for seconds in whole]
        rows.append(("with evaluations and all", *cells))
    head = ("", *(f"{_key(i)}{escape(run.name)}" for i, run in enumerate(runs)))
    return html.table(rows, head, numbers=range(1, len(head)))


def _are_comparable(runs: list[Run]) -> bool:
    """Return whether two runs were scored for the same task on the same data."""
    return all(
        len({str(run.log.settings.get(key)) for run in runs}) == 1
        for key in ("training.task", "data_fingerprint", "vocabulary_fingerprint")
    )


def _stand_out(cells: list[str], which: list[bool]) -> list[str]:
    if all(which):
        return cells
    return [
        f'<span class="right">{cell}</span>' if best else cell
        for cell, best in zip(cells, which, strict=True)
    ]


def _curves(runs: list[Run]) -> list[Chart]:
    metrics = (*curves.LEARNING, *curves.ROUTING, *curves.HEALTH)
    return [
        _overlay(runs, key, title, unit)
        for key, title, unit in metrics
        if any(curves.is_worth_drawing(run.log, key) for run in runs)
    ]


def _overlay(runs: list[Run], key: str, title: str, unit: str) -> Chart:
    def draw(theme: Theme) -> bytes:
        lines, colours = [], []
        for run, colour in zip(runs, distinct(len(runs), theme.lines), strict=True):
            held_out, train = run.log.series(key, "validation"), run.log.series(key, "train")
            if len(held_out[0]) and len(train[0]):
                lines.append(("_", *train))
                colours.append(colour + "55")
            shown = held_out if len(held_out[0]) else train
            if len(shown[0]):
                lines.append((run.name, *shown))
                colours.append(colour)
        label = lambda axes: curves.label_axes(axes, key, title, unit)  # noqa: E731
        return plots.lines(lines, theme, label, colours)

    return Chart(key, f"{title} over training steps, of all runs", draw)


def _differences(runs: list[Run]) -> str:
    keys = sorted({key for run in runs for key in run.log.settings})
    rows = []
    for key in keys:
        values = [run.log.settings.get(key) for run in runs]
        if any(value != values[0] for value in values):
            rows.append((escape(key), *(escape(summary.as_text(key, value)) for value in values)))
    if not rows:
        return '<p class="soft">None: these runs were started alike.</p>'
    head = ("setting", *(f"{_key(i)}{escape(run.name)}" for i, run in enumerate(runs)))
    return html.table(rows, head)


def _loads(runs: list[Run]) -> list[Chart]:
    """One frame a run: layers as lines over its experts, the busiest first."""
    found = []
    for number, run in enumerate(runs):
        loads = experts.final_loads(run.log)
        if loads:
            found.append(_load(number, run, loads))
    return found


def _load(number: int, run: Run, loads: dict[str, np.ndarray]) -> Chart:
    def draw(theme: Theme) -> bytes:
        def label(axes):
            axes.set_title(f"{run.name}: load of the experts, %", loc="left")
            axes.set_xlabel("expert, by load")
            axes.set_ylim(bottom=0)

        lines = [
            (short_name(name), np.arange(1, len(values) + 1), 100 * np.sort(values)[::-1])
            for name, values in loads.items()
        ]
        return plots.lines(lines, theme, label, distinct(len(lines), theme.lines))

    return Chart(f"expert_load_{number}", f"Load of the experts of {run.name}, by layer", draw)


def _key(number: int) -> str:
    return f'<span class="key key{number}"></span>'
