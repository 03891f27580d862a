"""A run and its results at a glance."""

import json
from html import escape
from statistics import median

from sparse_mixer_tf.experiments.log import RunLog
from sparse_mixer_tf.reports import html, scores
from sparse_mixer_tf.reports.html import duration

_TASKS = {
    "pretrain": "pre-training",
    "classify": "classification",
    "causal_lm": "language model",
}


def head(name: str, log: RunLog, record: dict) -> str:
    """Name, what it is, its sublayers as letters, the numbers that matter most, then the others."""
    return (
        f'<h1>{escape(name)}</h1><div class="soft">{escape(subtitle(log, record))}</div>'
        f"{letters(log.settings.get('model.architecture', ''))}{tiles(log)}"
        + html.table((escape(key), escape(value)) for key, value in rows(log))
    )


def subtitle(log: RunLog, record: dict) -> str:
    """Task, data, size, and how far it is."""
    settings = log.settings
    parts = [_TASKS.get(settings.get("training.task"), "")]
    parts.append(str(settings.get("data.dataset") or ""))
    if record.get("sublayers"):
        parameters = sum(row["parameters"] for row in record["sublayers"])
        parts.append(f"{parameters / 1e6:,.1f} million parameters")
    last, of = last_step(log), settings.get("training.train_steps")
    if of and not settings.get("training.train_epochs"):
        parts.append(f"step {last:,} of {of:,}")
    return " · ".join(part for part in parts if part)


def letters(architecture: str) -> str:
    """The architecture string as a row of letters; attention and experts stand out."""
    if not architecture:
        return ""
    cells = "".join(_letter(c) for c in spelled_out(architecture))
    return f'<div class="letters" title="{escape(architecture)}">{cells}</div>'


def spelled_out(architecture: str) -> str:
    """Repeats `N*(…)` written out; what is no architecture string comes back as it is."""
    while "*(" in architecture:
        opening = architecture.rindex("*(")
        closing = architecture.find(")", opening)
        start = opening
        while start and architecture[start - 1].isdigit():
            start -= 1
        if closing < 0 or start == opening:
            return architecture
        unit = architecture[opening + 2 : closing]
        repeated = unit * min(int(architecture[start:opening]), 1000)
        architecture = architecture[:start] + repeated + architecture[closing + 1 :]
    return architecture


def tiles(log: RunLog) -> str:
    """The few numbers that one looks for first."""
    found = []
    best = scores.best_record(log)
    if best:
        found.append((f"{best['score']:.1%}", f"score, held out, step {best['step']:,}"))
    accuracy = log.last("masked_lm_accuracy", "validation")
    if accuracy is not None:
        baseline = log.last("baseline_accuracy", "validation")
        beside = f"; always the most frequent: {baseline:.1%}" if baseline is not None else ""
        found.append((f"{accuracy:.1%}", f"masked words right, held out{beside}"))
    bits = log.last("bits_per_character", "validation")
    if bits is not None:
        ngram = log.last("ngram_bits_per_character", "validation")
        beside = f"; a 5-gram model: {ngram:.2f}" if ngram is not None else ""
        found.append((f"{bits:.3f}", f"bits per character, held out{beside}"))
    perplexity = log.last("perplexity", "validation")
    if perplexity is not None:
        found.append((f"{perplexity:,.1f}", "perplexity, held out"))
    loss = log.last("loss", "validation")
    if loss is not None:
        first = log.validation[0]
        beside = f", untrained {first['loss']:.2f}" if first["step"] == 0 else ""
        found.append((f"{loss:.3f}", f"loss, held out, nats{beside}"))
    speeds = log.series("tokens_per_second", "train")[1]
    if len(speeds):
        found.append((f"{median(speeds):,.0f}", "tokens a second"))
    seconds = log.last("seconds", "train")
    if seconds is not None:
        found.append((duration(seconds), f"of training, {last_step(log):,} steps"))
    cells = "".join(
        f'<div class="tile"><b>{escape(number)}</b><span>{escape(what)}</span></div>'
        for number, what in found
    )
    return f'<div class="tiles">{cells}</div>' if cells else ""


def rows(log: RunLog) -> list[tuple[str, str]]:
    """The rows of the summary table, name and value; what the run did not measure is left out."""
    baseline = log.last("baseline_accuracy", "validation")
    accuracy = log.last("masked_lm_accuracy", "validation")
    losses = log.series("loss", "validation")
    dropped = log.last("dropped_fraction", "validation")
    found = [("Steps", f"{last_step(log):,}"), *scores.score_rows(log)]
    if accuracy and baseline:
        found.append(
            ("Masked words right", f"{accuracy / baseline:.1f} times the most frequent token's")
        )
    first = log.validation[0] if log.validation else {}
    if first.get("step") == 0 and "masked_lm_accuracy" in first:
        found.append(("The untrained model", f"{first['masked_lm_accuracy']:.1%}"))
    order = log.last("order_accuracy", "validation")
    if order is not None:
        found.append(("Sentence order right, held out", f"{order:.1%}"))
    if len(losses[1]):
        best = losses[1].argmin()
        found.append(
            ("Lowest held-out loss", f"{losses[1][best]:.4f} nats, at step {losses[0][best]:,}")
        )
    if dropped is not None:
        found.append(("Tokens no expert took", f"{dropped:.1%}"))
    return found


def as_text(key: str, value: object) -> str:
    """A setting as text; of a fingerprint as much as tells it from others."""
    if key.endswith("fingerprint"):
        return f"{str(value)[:12]}…"
    return value if isinstance(value, str) else json.dumps(value)


def last_step(log: RunLog) -> int:
    return max(record["step"] for record in log.train + log.validation)


def _letter(character: str) -> str:
    kind = {"g": "g", "s": "s", ".": "gap"}.get(character, "other")
    return f'<span class="{kind}">{"" if kind == "gap" else escape(character)}</span>'
