"""The few lines that a run ends with."""

from pathlib import Path

from sparse_mixer_tf.experiments.log import RunLog, read
from sparse_mixer_tf.reports import scores


def console_summary(workdir: str | Path) -> str:
    """A short table of a run: scores before and after, speed, expert load, where it lies."""
    log = read(Path(workdir))
    rows = [("", "untrained", "trained")] if len(log.validation) > 1 else []
    if rows:
        first, last = log.validation[0], log.validation[-1]
        for key, text, form in (
            ("masked_lm_accuracy", "masked-word accuracy", "{:.1%}"),
            ("baseline_accuracy", "  always the most frequent", "{:.1%}"),
            ("order_accuracy", "sentence-order accuracy", "{:.1%}"),
            ("score", "score", "{:.1%}"),
            ("bits_per_character", "bits per character", "{:.3f}"),
            ("ngram_bits_per_character", "  a 5-gram model", "{:.3f}"),
            ("perplexity", "perplexity", "{:,.1f}"),
            ("loss", "loss", "{:.3f}"),
        ):
            if key in last:
                rows.append((text, form.format(first[key]), form.format(last[key])))
    best = scores.best_record(log)
    if best:
        rows.append((f"score at best, step {best['step']:,}", "", f"{best['score']:.1%}"))
    speed = log.last("tokens_per_second", "train")
    rows.append(("tokens per second", "", f"{speed:,.0f}" if speed else "none logged"))
    rows += _expert_rows(log)
    width = max(len(row[0]) for row in rows)
    lines = [f"  {text:{width}}  {before:>10}  {after:>10}" for text, before, after in rows]
    return "\n".join(["held out", *lines, f"run: {workdir}"])


def _expert_rows(log: RunLog) -> list[tuple[str, str, str]]:
    """Least and most loaded expert of each layer, as a share of the routed tokens."""
    _, layers = log.expert_load()
    return [
        (f"expert load, {name}", f"{loads[:, -1].min():.1%} to", f"{loads[:, -1].max():.1%}")
        for name, loads in layers.items()
    ]
