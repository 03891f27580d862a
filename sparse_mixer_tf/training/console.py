"""The lines that a person watches while a model trains."""

import time
from collections.abc import Callable

SCORES = ("accuracy", "fraction", "score", "f1", "correlation", "match", "parity")
# What a score is an average over.
COUNTED = ("examples", "masked_words", "symbols")
PER_TOKEN = ("bits_per_character", "perplexity")


def duration(seconds: float) -> str:
    """`0:42`, `12:05` or `3:20:00`."""
    minutes, seconds = divmod(int(round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def progress_line(step: int, total: int, metrics: dict, seconds_left: float) -> str:
    """One line: step, losses apart, accuracy, rate, speed and what is left.

    >>> progress_line(5, 10, {"loss": 2.5, "learning_rate": 1e-3, "gradient_norm": 1.0}, 61)
    'step 5/10 · loss 2.500 · lr 1.0e-03 · |g| 1.00 · ETA 1:01'
    """
    parts = [f"step {step:,}/{total:,}", _losses(metrics)]
    parts += [f"{_words(n)} {v:.1%}" for n, v in metrics.items() if n.endswith("accuracy")]
    for name, text in (
        ("learning_rate", "lr {:.1e}"),
        ("gradient_norm", "|g| {:.2f}"),
        ("tokens_per_second", "{:,.0f} tokens/s"),
        ("data_wait_fraction", "data wait {:.1%}"),
        ("dropped_fraction", "dropped {:.1%}"),
    ):
        if name in metrics:
            parts.append(text.format(metrics[name]))
    parts.append(f"ETA {duration(seconds_left)}")
    return " · ".join(parts)


def evaluation_line(step: int, metrics: dict) -> str:
    """One line of held-out numbers."""
    shown = [_losses(metrics)]
    shown += [
        f"{_words(name)} {value:.1%}"
        for name, value in metrics.items()
        if name.endswith(SCORES) and isinstance(value, float)
    ]
    shown += [
        f"{_words(name)} {value:.3f}" for name, value in metrics.items() if name.endswith(PER_TOKEN)
    ]
    shown += [f"of {metrics[name]:,} {_words(name)}" for name in COUNTED if name in metrics]
    return f"held out after step {step:,} · " + " · ".join(shown)


def _losses(metrics: dict) -> str:
    parts = [
        f"{_words(name.removesuffix('_loss'))} {value:.3f}"
        for name, value in metrics.items()
        if name.endswith("_loss")
    ]
    return f"loss {metrics['loss']:.3f}" + (f" ({', '.join(parts)})" if parts else "")


def _words(name: str) -> str:
    return name.replace("_lm", "").replace("_fraction", "").replace("_", " ")


class Stopwatch:
    """Time of the loop by part, between two progress lines.

    `with stopwatch.part("data"):` adds to a part; `read()` gives the seconds of each part and of
    training as a whole since the last reading; evaluations and the like are not training.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter):
        self._clock = clock
        self._parts: dict[str, float] = {}
        self._start = clock()

    def part(self, name: str) -> "_Part":
        return _Part(self, name)

    def read(self) -> dict[str, float]:
        now = self._clock()
        parts = dict(self._parts)
        aside = sum(parts.get(name, 0.0) for name in ("evaluation", "checkpoint", "compiling"))
        parts["training"] = now - self._start - aside
        self._parts, self._start = {}, now
        return parts


class _Part:
    def __init__(self, stopwatch: Stopwatch, name: str):
        self._stopwatch, self._name = stopwatch, name

    def __enter__(self):
        self._began = self._stopwatch._clock()

    def __exit__(self, *_):
        parts = self._stopwatch._parts
        spent = self._stopwatch._clock() - self._began
        parts[self._name] = parts.get(self._name, 0.0) + spent
