"""What a classifier's run adds to a report: its scores, which classes it mixes up, its mistakes."""

from html import escape

from sparse_mixer_tf.metrics import METRICS
from sparse_mixer_tf.reports.run_log import RunLog, is_number


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


def sections(log: RunLog) -> list[str]:
    """Confusion matrix and most confident mistakes as HTML; nothing for other runs."""
    found = []
    last = log.validation[-1] if log.validation else {}
    if "confusion" in last:
        found.append("<h2>Confusion, held out</h2>" + _confusion(last["confusion"], _labels(log)))
    mistakes = [sample for sample in log.samples if "segments" in sample]
    if mistakes:
        title = "Most confident mistakes" if _labels(log) else "Greatest errors"
        found.append(f"<h2>{title}</h2>" + "".join(_mistake(m, _labels(log)) for m in mistakes))
    return found


def _labels(log: RunLog) -> list[str]:
    return log.settings.get("labels", [])


def _confusion(counts: list[list[int]], labels: list[str]) -> str:
    """True classes in rows, predicted ones in columns."""
    head = "".join(f"<th>{escape(label)}</th>" for label in labels)
    rows = [f"<tr><th>truth</th>{head}<th>right</th></tr>"]
    for number, (label, row) in enumerate(zip(labels, counts, strict=True)):
        cells = "".join(
            f'<td class="{"right" if column == number else "other"}">{count:,}</td>'
            for column, count in enumerate(row)
        )
        share = f"{row[number] / sum(row):.0%}" if sum(row) else ""
        rows.append(f"<tr><th>{escape(label)}</th>{cells}<td>{share}</td></tr>")
    return f"<table>{''.join(rows)}</table>"


def _mistake(mistake: dict, labels: list[str]) -> str:
    size = f"{mistake['size']:.0%}" if labels else f"off by {mistake['size']:.2f}"
    text = "<br>".join(escape(segment) for segment in mistake["segments"])
    return (
        f"<blockquote>{text}</blockquote><table><tr><th>truth</th><th>the model</th></tr>"
        f"<tr><td>{escape(mistake['truth'])}</td><td>{escape(mistake['said'])} "
        f'<span class="soft">{size}</span></td></tr></table>'
    )


def _words(name: str) -> str:
    return name.replace("_", " ").capitalize()
