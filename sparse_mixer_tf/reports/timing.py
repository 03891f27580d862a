"""Cost of each sublayer, and the seconds of the training by part."""

from html import escape

from sparse_mixer_tf.experiments.log import RunLog
from sparse_mixer_tf.reports import html
from sparse_mixer_tf.reports.html import Section, duration

# Part of the loop, as it is called, what it is.
PARTS = (
    ("step_seconds", "steps", "gradients and updates"),
    ("data_seconds", "waiting for data", "the pipeline was not ahead"),
    ("compiling_seconds", "first step", "tracing and compiling"),
    ("evaluation_seconds", "evaluations", "held-out data and samples; the last one not counted"),
    ("checkpoint_stall_seconds", "checkpoints", "what the loop waited for them"),
)


def sublayers(record: dict) -> list[Section]:
    """The sublayer table, with forward times where they were measured."""
    rows = record.get("sublayers", [])
    if not rows:
        return []
    seconds = _by_row(rows, record.get("forward_seconds", {}))
    head = ["sublayer", "what", "parameters", "active", "kFLOP a token"]
    head += ["forward", ""] if seconds else []
    longest = max(seconds.values(), default=1.0)
    lines = []
    for row in rows:
        cells = [
            escape(row["name"].removeprefix("sublayer_").replace("_", " ")),
            escape(row["kind"]),
            f"{row['parameters']:,}",
            f"{row['active_parameters']:,}",
            f"{row['flops'] / 1e3:,.0f}",
        ]
        if seconds:
            time = seconds.get(row["name"])
            cells += (
                ["", ""] if time is None else [f"{1e3 * time:,.1f} ms", html.bar(time / longest)]
            )
        lines.append(cells)
    total = sum(row["parameters"] for row in rows)
    active = sum(row["active_parameters"] for row in rows)
    text = (
        f"{total:,} parameters stand in this table, of which {active:,} work on a token. Long bars "
        "are where a faster sublayer would pay."
    )
    if seconds:
        batch, seq = record["forward_batch"]
        text += (
            f" Forward times are of each sublayer by itself, in graph mode, on {batch} x {seq} "
            "held-out tokens: the median of five passes on the machine that made this page."
        )
    return [Section("Sublayers", text, html.table(lines, head, range(2, 6)))]


def loop_parts(log: RunLog) -> dict[str, float]:
    """Seconds by part of the training loop, over the whole run; empty for runs without them.

    What is left of the training time besides steps and data is `other`.
    """
    sums = {key: sum(record.get(key, 0.0) for record in log.train) for key, _, _ in PARTS}
    if not sums["step_seconds"]:
        return {}
    trained = log.last("seconds", "train") or 0.0
    sums["other"] = max(trained - sums["step_seconds"] - sums["data_seconds"], 0.0)
    return sums


def loop(log: RunLog) -> list[Section]:
    """Return the seconds of the training loop by part."""
    sums = loop_parts(log)
    if not sums:
        return []
    total = sum(sums.values())
    told = (*PARTS, ("other", "the rest", "logging and bookkeeping"))
    rows = [
        (name, html.bar(sums[key] / total, f"{sums[key] / total:.0%}"),
         duration(sums[key]), f'<span class="soft">{what}</span>')
        for key, name, what in told
    ]  # fmt: skip
    text = "Steps should take nearly all of it: a wait for data is an accelerator that stands idle."
    head = ("part", "share", "time", "")
    return [Section("Where the time went", text, html.table(rows, head, numbers=(2,)))]


def _by_row(rows: list[dict], seconds: dict[str, float]) -> dict[str, float]:
    """Seconds by name of the row; a reused sublayer has those of the one it reuses."""
    found, by_letter = {}, {}
    for row in rows:
        letter = row["name"].rpartition("_")[2]
        if row["name"] in seconds:
            by_letter[letter] = seconds[row["name"]]
        if row["name"] in seconds or "reused" in row["kind"]:
            found[row["name"]] = by_letter.get(letter)
    return {name: time for name, time in found.items() if time is not None}
