"""Labels of a user's own files: as written, as classes in order, or as numbers to predict."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

from pipelines.errors import InputError

_MISSING = ("", "-", "-1")


def normalize(value: Any, where: str, field: str, label_type: str) -> str | None:
    """Return a label as text; None where the row has no label.

    `1`, `1.0` and `"1"` are one label. Empty, null, NaN, `-` and `-1` are no label; where the
    labels are said to be classes or numbers, `-1` is one.

    Raises:
        InputError: the label is a list or an object.
    """
    if isinstance(value, (list, dict)):
        kind = "a list" if isinstance(value, list) else "an object"
        raise InputError(f"{where}: {field} is {kind}, not a label")
    if value is None:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value).strip()
    number = as_number(text)
    if number is not None and number.is_integer() and abs(number) < 2**53:
        text = str(int(number))
    missing = _MISSING if label_type == "auto" else _MISSING[:2]
    return None if text in missing or text.lower() == "nan" else text


def as_number(label: str) -> float | None:
    """Return a label as a finite number, or None if it is none."""
    try:
        number = float(label)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def in_order(labels: Iterable[str]) -> list[str]:
    """Return the distinct labels: numbers in their order, then the others by the alphabet."""

    def key(label: str) -> tuple:
        number = as_number(label)
        return (1, 0.0, label) if number is None else (0, number, label)

    return sorted(set(labels), key=key)


def are_numbers(labels: Sequence[str], label_type: str, dataset: str) -> bool:
    """Return whether labels are numbers to predict, not classes.

    Args:
        labels: of the training rows.
        label_type: "class", "number", or "auto": numbers if all are and one has decimals.
        dataset: named in the message.

    Raises:
        InputError: numbers are asked for and a label is none.
    """
    if label_type == "class" or not labels:
        return False
    for label in labels:
        if as_number(label) is None:
            if label_type == "number":
                raise InputError(
                    f"--dataset={dataset}: the label {label!r} is no number, as "
                    "--label_type=number needs; use --label_type=class"
                )
            return False
    return label_type == "number" or any(not as_number(label).is_integer() for label in labels)
