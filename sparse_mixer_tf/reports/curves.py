"""Metrics over training steps."""

import numpy as np
from matplotlib.ticker import EngFormatter, PercentFormatter

from sparse_mixer_tf.experiments.log import RunLog
from sparse_mixer_tf.reports import plots
from sparse_mixer_tf.reports.plots import Chart
from sparse_mixer_tf.reports.theme import Theme

# A metric, and what it is drawn beside.
BASELINES = {
    "masked_lm_accuracy": ("baseline_accuracy", "always the most frequent"),
    "bits_per_character": ("ngram_bits_per_character", "5-gram model"),
}
# Metric, title, unit of the axis: what says whether a model learns.
LEARNING = (
    ("masked_lm_accuracy", "Masked-word accuracy", "%"),
    ("score", "Score", "%"),
    ("accuracy", "Accuracy", "%"),
    ("bits_per_character", "Bits per character", ""),
    ("perplexity", "Perplexity", ""),
    ("next_accuracy", "Next symbol right", "%"),
    ("loss", "Loss", "nats"),
    ("masked_lm_loss", "Masked-word loss", "nats per word"),
    ("order_accuracy", "Sentence-order accuracy", "%"),
    ("order_loss", "Sentence-order loss", "nats per pair"),
)
# What says whether the training itself is well.
HEALTH = (
    ("learning_rate", "Learning rate", ""),
    ("gradient_norm", "Gradient norm", "before clipping"),
    ("tokens_per_second", "Speed", "tokens per second"),
    ("data_wait_fraction", "Time spent waiting for data", "%"),
)
ROUTING = (
    ("router_confidence", "Router confidence", "mean gate of a taken token"),
    ("router_entropy", "Router entropy", "nats"),
    ("load_cv", "Unevenness of the load", "deviation over mean"),
    ("dropped_fraction", "Tokens no expert took", "%"),
    ("expert_usage", "Slots of the experts in use", "%"),
    ("balance_loss", "Balance loss", "summed over layers"),
    ("router_z_loss", "Router z-loss", "squared log-sum-exp"),
)


def learning(log: RunLog) -> list[Chart]:
    """Losses and scores, and whatever else both splits report."""
    known = {key for key, _, _ in (*LEARNING, *HEALTH, *ROUTING)}
    others = tuple(
        (key, key.replace("_", " ").capitalize(), "%" if _is_share(key) else "")
        for key in log.metrics_of_both_splits()
        if key not in known
    )
    return _charts(log, LEARNING + others)


def health(log: RunLog) -> list[Chart]:
    """Rate, gradients, speed."""
    return _charts(log, HEALTH)


def routing(log: RunLog) -> list[Chart]:
    """Return charts of the routers, in means over the layers."""
    return _charts(log, ROUTING)


def curve(log: RunLog, key: str, title: str, unit: str, theme: Theme) -> bytes:
    """One metric over the steps, training and validation in one frame."""
    with plots.style(theme):
        figure = plots.new_figure()
        axes = figure.subplots()
        for split, color, marker in (
            ("train", theme.train, None),
            ("validation", theme.validation, "o"),
        ):
            steps, values = log.series(key, split)
            if len(steps):
                marker = marker if len(steps) > 1 else "o"
                axes.plot(steps, values, color=color, marker=marker, label=split)
        beside, label = BASELINES.get(key, (None, None))
        baseline = log.last(beside, "validation") if beside else None
        if baseline is not None:
            axes.axhline(baseline, color=theme.ink, linestyle=(0, (2, 3)), label=label)
        label_axes(axes, key, title, unit)
        if len(axes.lines) > 1:
            axes.legend(loc="best")
        return plots.png(figure)


def label_axes(axes, key: str, title: str, unit: str) -> None:
    """Title and scales of a frame in which a metric is drawn over steps."""
    axes.set_title(f"{title}, {unit}" if unit else title, loc="left")
    if unit == "%":
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None, symbol=""))
        axes.set_ylim(bottom=0)
    elif key == "tokens_per_second":
        axes.yaxis.set_major_formatter(EngFormatter(sep=""))
        axes.set_ylim(bottom=0)
    elif key == "learning_rate":
        axes.yaxis.set_major_formatter("{x:g}")
        axes.set_ylim(bottom=0)
    plots.step_axis(axes)


def is_worth_drawing(log: RunLog, key: str) -> bool:
    """Return whether a metric has numbers; of routing, numbers that differ beyond rounding.

    Gates that add up to 1 have the same mean always, and models without experts no load at all.
    """
    values = np.concatenate([log.series(key, split)[1] for split in ("train", "validation")])
    if key not in {routing_key for routing_key, _, _ in ROUTING}:
        return len(values) > 0
    return bool(np.any(values)) and np.ptp(values) > 1e-5 * np.abs(values).max()


def _charts(log: RunLog, metrics: tuple) -> list[Chart]:
    return [
        Chart(
            name=key,
            description=f"{title} over training steps",
            draw=lambda theme, k=key, t=title, u=unit: curve(log, k, t, u, theme),
        )
        for key, title, unit in metrics
        if is_worth_drawing(log, key)
    ]


def _is_share(key: str) -> bool:
    return key.endswith(("_accuracy", "_fraction"))
