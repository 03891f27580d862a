"""A classifier's part of a report: its scores, its confusions, its mistakes."""

from html import escape

from sparse_mixer_tf.experiments.log import RunLog, is_number
from sparse_mixer_tf.metrics.glue import METRICS
from sparse_mixer_tf.reports import html
from sparse_mixer_tf.reports.html import Section


def best_record(log: RunLog) -> dict | None:
    """The evaluation with the greatest score, the first of equals; None where nothing has one.

    The untrained model, of which there is no checkpoint, does not count.
    """
    scored = [r for r in log.validation if is_number(r.get("score")) and r["step"] > 0]
    return max(scored, key=lambda record: record["score"], default=None)


def score_rows(log: RunLog) -> list[tuple[str, str]]:
    """The best score and the metrics it is made of, as rows of the summary table."""
    best = best_record(log)
    if best is None:
        return []
    rows = [("Score, held out", f"{best['score']:.1%}, at step {best['step']:,}")]
    rows += [(_words(name), f"{best[name]:.1%}") for name in best if name in METRICS]
    return rows


def sections(log: RunLog) -> list[Section]:
    """Confusion matrix and most confident mistakes; nothing for other runs."""
    found = []
    last = log.validation[-1] if log.validation else {}
    if "confusion" in last:
        text = "True classes in rows, the model's in columns: what is off the diagonal is mixed up."
        body = _confusion(last["confusion"], _labels(log))
        found.append(Section("Confusion, held out", text, body))
    mistakes = [sample for sample in log.samples if "segments" in sample]
    if mistakes:
        title = "Most confident mistakes" if _labels(log) else "Greatest errors"
        text = "Often these are labels to doubt, or texts cut before the point."
        body = html.grid(_mistake(mistake, _labels(log)) for mistake in mistakes)
        found.append(Section(title, text, body))
    return found


def _labels(log: RunLog) -> list[str]:
    return log.settings.get("labels", [])


def _confusion(counts: list[list[int]], labels: list[str]) -> str:
    rows = []
    for number, (label, row) in enumerate(zip(labels, counts, strict=True)):
        cells = [
            f'<span class="{"right" if column == number else "other"}">{count:,}</span>'
            for column, count in enumerate(row)
        ]
        share = f"{row[number] / sum(row):.0%}" if sum(row) else ""
        rows.append((escape(label), *cells, share))
    head = ("truth", *(escape(label) for label in labels), "right")
    return html.table(rows, head, numbers=range(1, len(head)))


def _mistake(mistake: dict, labels: list[str]) -> str:
    size = f"{mistake['size']:.0%}" if labels else f"off by {mistake['size']:.2f}"
    text = "<br>".join(escape(segment) for segment in mistake["segments"])
    said = f'{escape(mistake["said"])} <span class="soft">{size}</span>'
    return f"<blockquote>{text}</blockquote>" + html.table(
        [(escape(mistake["truth"]), said)], ("truth", "the model")
    )


def _words(name: str) -> str:
    return name.replace("_", " ").capitalize()
