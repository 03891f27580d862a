"""Writes the report of a run as one HTML page that opens offline."""

import base64
import json
from html import escape
from pathlib import Path
from statistics import median

from sparse_mixer_tf.reports import charts, scores
from sparse_mixer_tf.reports.run_log import RunLog, read

STYLE = """
:root { color-scheme: light dark; --ink: #24292f; --soft: #656d76; --line: #d8dde3; --paper: #fff;
  --right: #1a7f37; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #d5d9de; --soft: #8b949e; --line: #30363d; --paper: #15181c; --right: #57ab5a; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 68rem; padding: 1.5rem 1rem 4rem; color: var(--ink);
  background: var(--paper); font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; font-weight: 600; margin: 0 0 1rem; }
h2 { font-size: 1.1rem; font-weight: 600; margin: 2.5rem 0 .75rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem 1.25rem .2rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); font-weight: 400; }
th { color: var(--soft); }
figure { margin: 0; }
img { display: block; width: 100%; height: auto; }
.charts { display: grid; gap: 1.25rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); }
blockquote { margin: 1.5rem 0 .5rem; padding-left: .9rem; border-left: 2px solid var(--line); }
.right { color: var(--right); font-weight: 600; }
.soft { color: var(--soft); }
"""


def write(workdir: str | Path) -> Path:
    """Writes `report/index.html` and its pictures from what the run has logged so far.

    Reads `metrics.jsonl`, `settings.json` and `samples.jsonl` alone, so it needs no model and works
    on a run that is still going. The page holds its pictures; the light ones lie beside it too, as
    `report/<metric>.png`.

    Args:
        workdir: the folder of the run.

    Returns:
        The path of the page.

    Raises:
        ValueError: when the run has logged nothing.
    """
    workdir = Path(workdir)
    log = read(workdir)
    folder = workdir / "report"
    folder.mkdir(exist_ok=True)
    figures = []
    for chart in charts.all_charts(log):
        light, dark = chart.draw(charts.LIGHT), chart.draw(charts.DARK)
        (folder / f"{chart.name}.png").write_bytes(light)
        figures.append(_figure(chart.description, light, dark))
    page = folder / "index.html"
    page.write_text(_page(workdir.resolve().name, log, figures), "utf-8")
    return page


def summary(log: RunLog) -> list[tuple[str, str]]:
    """The rows of the summary table, name and value; what the run did not measure is left out."""
    records = log.train + log.validation
    baseline = log.last("baseline_accuracy", "validation")
    accuracy = log.last("masked_lm_accuracy", "validation")
    losses = log.series("loss", "validation")
    speeds = log.series("tokens_per_second", "train")[1]
    dropped = log.last("dropped_fraction", "validation")
    rows = [("Steps", f"{max(record['step'] for record in records):,}"), *scores.score_rows(log)]
    if accuracy is not None:
        rows.append(("Masked words right, held out", f"{accuracy:.1%}"))
    if baseline is not None:
        times = f" ({accuracy / baseline:.1f} times less)" if accuracy and baseline else ""
        rows.append(("Always the most frequent token", f"{baseline:.1%}{times}"))
    first = log.validation[0] if log.validation else {}
    if first.get("step") == 0 and "masked_lm_accuracy" in first:
        rows.append(("The untrained model", f"{first['masked_lm_accuracy']:.1%}"))
    bits = log.last("bits_per_character", "validation")
    if bits is not None:
        rows.append(("Bits per character, held out", f"{bits:.3f}"))
        ngram = log.last("ngram_bits_per_character", "validation")
        rows.append(("A 5-gram model of the same text", f"{ngram:.3f}"))
    order = log.last("order_accuracy", "validation")
    if order is not None:
        rows.append(("Sentence order right, held out", f"{order:.1%}"))
    if len(losses[1]):
        best = losses[1].argmin()
        rows.append(("Loss, held out", f"{losses[1][-1]:.4f} nats"))
        rows.append(("Lowest", f"{losses[1][best]:.4f} nats, at step {losses[0][best]:,}"))
    if dropped is not None:
        rows.append(("Tokens no expert took", f"{dropped:.1%}"))
    if len(speeds):
        rows.append(("Speed, median", f"{median(speeds):,.0f} tokens/s"))
    seconds = log.last("seconds", "train")
    if seconds is not None:
        rows.append(("Training time", _duration(seconds)))
    return rows


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _page(name: str, log: RunLog, figures: list[str]) -> str:
    rows = "".join(
        f"<tr><th>{escape(key)}</th><td>{escape(value)}</td></tr>" for key, value in summary(log)
    )
    sections = [f"<h1>{escape(name)}</h1>", f"<table>{rows}</table>"]
    if figures:
        sections += ['<h2>Curves</h2><div class="charts">', *figures, "</div>"]
    fills = [sample for sample in log.samples if "predictions" in sample]
    if fills:
        sections.append("<h2>Sample fills</h2>" + "".join(_sample(s) for s in fills))
    continued = [sample for sample in log.samples if "continuation" in sample]
    if continued:
        sections.append("<h2>Continued text</h2>" + "".join(_continued(s) for s in continued))
    sections += scores.sections(log)
    if log.settings:
        settings = "".join(
            f"<tr><th>{escape(key)}</th><td>{escape(_value(value))}</td></tr>"
            for key, value in sorted(log.settings.items())
        )
        sections.append(
            f"<h2>Settings</h2><details><summary>{len(log.settings)} values</summary>"
            f"<table>{settings}</table></details>"
        )
    body = "\n".join(sections)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(name)}</title><style>{STYLE}</style></head>\n"
        f"<body>{body}</body></html>\n"
    )


def _value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _figure(description: str, light: bytes, dark: bytes) -> str:
    def source(png: bytes) -> str:
        return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"

    return (
        f'<figure><picture><source media="(prefers-color-scheme: dark)" srcset="{source(dark)}">'
        f'<img src="{source(light)}" alt="{escape(description)}"></picture></figure>\n'
    )


def _sample(sample: dict) -> str:
    """A masked sentence, and under it what stood at each mask beside what the model proposes."""
    rows = "".join(
        f"<tr><td>{escape(prediction['truth'])}</td>"
        f"<td>{_proposals(prediction['truth'], prediction['top'])}</td></tr>"
        for prediction in sample["predictions"]
    )
    return (
        f"<blockquote>{escape(sample['text'])}</blockquote>"
        f"<table><tr><th>truth</th><th>the model's words</th></tr>{rows}</table>"
    )


def _continued(sample: dict) -> str:
    """A prompt, softly, and what the model wrote behind it."""
    return (
        f'<blockquote style="white-space: pre-wrap"><span class="soft">{escape(sample["prompt"])}'
        f"</span>{escape(sample['continuation'])}</blockquote>"
    )


def _proposals(truth: str, top: list) -> str:
    return " · ".join(
        f'<span class="{"right" if piece == truth else "other"}">{escape(piece)}</span> '
        f'<span class="soft">{probability:.0%}</span>'
        for piece, probability in top
    )
