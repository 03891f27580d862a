"""Writes the report of a run as one HTML page that opens offline."""

import hashlib
import re
from html import escape
from pathlib import Path

from sparse_mixer_tf.analysis import files
from sparse_mixer_tf.experiments.log import RunLog, read
from sparse_mixer_tf.reports import (
    attention,
    curves,
    experts,
    html,
    mixing,
    samples,
    scores,
    summary,
    timing,
)
from sparse_mixer_tf.reports.html import Section
from sparse_mixer_tf.reports.theme import LIGHT, expert_colours
from sparse_mixer_tf.settings import SettingsError
from sparse_mixer_tf.training.workdir import write_atomically


def write(workdir: str | Path, output: str | Path | None = None) -> Path:
    """Writes `report/index.html` and its curves from what lies in the run's folder.

    Reads `metrics.jsonl`, `settings.json`, `samples.jsonl` and, if it is there, the inspection of
    the trained weights, so it needs no model and works on a run that is still going. The page holds
    its pictures; the light curves lie beside it too, as `<metric>.png`.

    Args:
        workdir: the folder of the run.
        output: where the page goes; `report/` in that folder where None.

    Returns:
        The path of the page.

    Raises:
        SettingsError: the folder holds no run, or one that has logged nothing, or its report is a
            link.
    """
    workdir = Path(workdir)
    log = read(workdir)
    folder = Path(output) if output else workdir / "report"
    if not output and folder.is_symlink():
        raise SettingsError(f"{folder} is a link to another folder; name one with --output")
    folder.mkdir(parents=True, exist_ok=True)
    shown = {
        "learning": curves.learning(log),
        "experts": experts.charts(log),
        "health": curves.health(log),
    }
    for chart in (chart for charts in shown.values() for chart in charts):
        write_atomically(folder / file_name(chart.name), chart.draw(LIGHT))
    record, arrays = files.read(workdir)
    page = folder / "index.html"
    name = workdir.resolve().name
    text = html.document(
        name,
        summary.head(name, log, record),
        sections(log, shown, record, arrays),
        expert_colours(experts.count(record)),
    )
    write_atomically(page, text)
    return page


def file_name(metric: str) -> str:
    """Return the name of a metric's picture: letters, digits, `_`, `-` and `.` alone.

    Metrics come from a file that someone may have sent: a name as `../x` names no other folder.
    """
    plain = re.sub(r"[^A-Za-z0-9_.-]", "_", metric).lstrip(".")[:80]
    if plain != metric:
        plain += "-" + hashlib.sha256(metric.encode("utf-8", "replace")).hexdigest()[:8]
    return f"{plain}.png"


def sections(log: RunLog, shown: dict, record: dict, arrays: dict) -> list[Section]:
    """The page from top to bottom; what a run has nothing for is left out."""
    return [
        *_curves(
            "Learning",
            "Held-out numbers should follow those of training: where they part, the model has "
            "begun to learn its training data by heart.",
            shown["learning"],
        ),
        *samples.sections(log),
        *scores.sections(log),
        *experts.load_section(shown["experts"]),
        *experts.words_section(record),
        *mixing.section(record, arrays),
        *attention.section(log, record, arrays),
        *_curves(
            "Training health",
            "A gradient norm that jumps, or a speed that sags, is worth a look at that step.",
            shown["health"],
        ),
        *timing.sublayers(record),
        *timing.loop(log),
        *_settings(log),
    ]


def _curves(title: str, text: str, charts: list) -> list[Section]:
    if not charts:
        return []
    return [Section(title, text, html.charts(map(html.figure, charts)))]


def _settings(log: RunLog) -> list[Section]:
    if not log.settings:
        return []
    rows = [
        (escape(key), escape(summary.as_text(key, value)))
        for key, value in sorted(log.settings.items())
    ]
    values = html.folded(f"{len(rows)} values", html.table(rows))
    text = "run.flags, beside this report's folder, repeats the run."
    return [Section("Settings", text, values)]
