"""Holds what a fresh process answers against the live model, on real texts."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from sparse_mixer_tf.serving.parity.reference import Probe, next_shares
from sparse_mixer_tf.serving.parity.subprocess import Answer, Request, ask

# Of probabilities, or of a regression's values; the second for computation in bfloat16.
TOLERANCES = {"float32": 1e-4, "mixed_bfloat16": 3e-2}
# Where two experts, or two tokens of one, weigh the same to the last bit but one, the sums of
# another batch size may decide otherwise, and a whole row changes. More rows than that is a fault.
ROWS_BY_CHANCE = 1 / 8
REPEATS = 30
GREEDY = {"temperature": 0.0, "top_k": 0, "top_p": 1.0, "seed": 0}
CONTINUED_ROWS, CONTINUED_LENGTH = 8, 12
AWKWARD = (
    *("", " ", "\0", "a\0b", "[CLS] [SEP] [MASK]", "\N{ROCKET}" * 9, "x " * 9999),
    b"\xff\xfe \xe2\x82",
)


class Difference(NamedTuple):
    """The distance between two sets of answers.

    Attributes:
        between: what was compared.
        largest: greatest absolute difference.
        rows_apart: rows with a difference above the tolerance.
        rows: how many there are.
        rows_allowed: how many may lie apart; None where it is for information alone.
    """

    between: str
    largest: float
    rows_apart: int
    rows: int
    rows_allowed: int | None

    @property
    def holds(self) -> bool:
        return self.rows_allowed is None or self.rows_apart <= self.rows_allowed

    def __str__(self) -> str:
        verdict = "" if self.rows_allowed is None else ("  ok" if self.holds else "  MISMATCH")
        apart = f", {self.rows_apart} of {self.rows} rows apart" if self.rows_apart else ""
        return f"{self.between}: {self.largest:.1e}{apart}{verdict}"


class Comparison(NamedTuple):
    """All differences, and how long an answer took.

    Attributes:
        differences: in the order in which they were taken.
        seconds: median time of a call, by the number of its rows.
    """

    differences: list[Difference]
    seconds: dict[int, float]


def compare(
    saved_model: Path,
    probe: Probe,
    as_evaluated: Probe,
    precision: str,
    has_experts: bool,
    model: keras.Model | None = None,
) -> Comparison:
    """Asks a SavedModel in a fresh process and compares.

    Args:
        saved_model: its folder.
        probe: texts, and what the live model says of them, routed as it is served.
        as_evaluated: what the live model says of them, routed as it was evaluated.
        precision: of the computation.
        has_experts: whether tokens are routed.
        model: a language model, whose greedy continuations are followed; None for others.
    """
    tolerance, rows = TOLERANCES[precision], _rows(probe.texts)
    allowed = int(rows * ROWS_BY_CHANCE) if has_experts else 0
    single = [
        {name: column[i : i + 1] for name, column in probe.texts.items()} for i in range(rows)
    ]
    awkward = {name: list(AWKWARD) for name in probe.texts}
    requests = [
        Request("serving_default", probe.texts, REPEATS),
        Request("ids", probe.rows),
        Request("tokenize", probe.texts),
        Request("serving_default", awkward),
        *[
            # Texts may come in the order of their lengths: the middle one is timed.
            Request("serving_default", one, REPEATS if row == rows // 2 else 0)
            for row, one in enumerate(single)
        ],
    ]
    if model is not None:
        prompts = {"text": probe.texts["text"][:CONTINUED_ROWS], "length": CONTINUED_LENGTH}
        requests.append(Request("generate", prompts | GREEDY))
    answers = ask(saved_model, requests)
    texts, ids, tokens, odd = (answer.outputs for answer in answers[:4])
    one_by_one = _stacked(answers[4 : 4 + rows])

    live, evaluated = probe.expected(texts), as_evaluated.expected(texts)
    found = [
        difference("ids made in the graph, in Python", tokens, probe.rows, 0, 0),
        difference("texts, ids", texts, _floats(ids), tolerance, allowed),
        difference(f"batches of 1, of {rows}", one_by_one, _floats(texts), tolerance, allowed),
        difference("reloaded, live", texts, live, tolerance, allowed),
        _finite("awkward texts, not finite", odd),
        difference("routed by row, as evaluated", live, evaluated, tolerance, None),
    ]
    if model is not None:
        written = answers[-1].outputs["token_ids"]
        found.append(regret(model, probe, written, tolerance, allowed))
    return Comparison(found, {1: answers[4 + rows // 2].seconds, rows: answers[0].seconds})


def difference(
    between: str,
    ours: dict[str, np.ndarray],
    theirs: dict[str, np.ndarray],
    tolerance: float,
    rows_allowed: int | None,
) -> Difference:
    """Return the distance of the arrays that `theirs` names, row by row."""
    largest, apart = 0.0, np.zeros(0, bool)
    for name, array in theirs.items():
        if ours[name].shape != array.shape:
            return Difference(f"{between} ({name})", np.inf, len(array), len(array), rows_allowed)
        wide = np.abs(ours[name].astype("float64") - array.astype("float64"))
        by_row = wide.reshape(len(array), -1).max(axis=1, initial=0.0)
        # NaN is above every tolerance.
        beyond = ~(by_row <= tolerance)
        apart = beyond if not len(apart) else apart | beyond
        largest = max(largest, float(by_row.max(initial=0.0)))
    return Difference(between, largest, int(apart.sum()), len(apart), rows_allowed)


def _rows(texts: dict[str, list]) -> int:
    return len(next(iter(texts.values())))


def _floats(outputs: dict) -> dict[str, np.ndarray]:
    return {name: value for name, value in outputs.items() if value.dtype.kind == "f"}


def _stacked(answers: Sequence[Answer]) -> dict[str, np.ndarray]:
    names = answers[0].outputs
    return {name: np.concatenate([answer.outputs[name] for answer in answers]) for name in names}


def _finite(between: str, outputs: dict) -> Difference:
    bad = [
        ~np.isfinite(value).reshape(len(value), -1).all(axis=1)
        for value in _floats(outputs).values()
    ]
    rows = np.any(bad, axis=0)
    return Difference(between, float(rows.sum()), int(rows.sum()), len(rows), 0)


def regret(
    model: keras.Model, probe: Probe, written: np.ndarray, tolerance: float, rows_allowed: int
) -> Difference:
    """Return the live model's advantage of another symbol over the one that was written.

    Args:
        model: the live language model, which reads each text whole.
        probe: the prompts.
        written: int32 [prompts, length], what was written behind the first of them.
        tolerance: of the difference of two probabilities.
        rows_allowed: how many rows may exceed it.
    """
    lengths = probe.rows["padding_mask"].sum(axis=1)
    worst = []
    for prompt, length, added in zip(probe.rows["token_ids"], lengths, written, strict=False):
        whole = np.concatenate([prompt[:length], added])
        shares = next_shares(model, whole)[length - 1 : -1]
        chosen = np.take_along_axis(shares, added[:, None], axis=1)[:, 0]
        worst.append((shares.max(axis=1) - chosen).max())
    apart = int(np.sum(~(np.array(worst) <= tolerance)))
    return Difference("likeliest symbols, written", max(worst), apart, len(worst), rows_allowed)
