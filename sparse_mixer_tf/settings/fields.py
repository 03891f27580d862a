"""Fields that know their help text and their limits, and check themselves."""

import dataclasses
import functools
import math
from dataclasses import field
from typing import Any, get_args, get_type_hints


class SettingsError(ValueError):
    """A setting that cannot work; names the flag, the value, what was expected and the fix."""


def setting(default: Any, help: str, choices: tuple | None = None, least=None, most=None) -> Any:
    """A dataclass field that knows its help text, its choices and its inclusive limits."""
    return field(
        default=default,
        metadata={"help": help, "choices": choices, "least": least, "most": most},
    )


_hints = functools.cache(get_type_hints)


def value_type(settings_class: type, name: str) -> type:
    """The type of a field without its `| None`."""
    hint = _hints(settings_class)[name]
    return next((t for t in get_args(hint) if t is not type(None)), hint)


def _may_be_none(settings_class: type, name: str) -> bool:
    return type(None) in get_args(_hints(settings_class)[name])


class Checked:
    """Checks every field against its type, choices and limits when the dataclass is made."""

    def __post_init__(self):
        for item in dataclasses.fields(self):
            value, limits = getattr(self, item.name), item.metadata
            if value is None and _may_be_none(type(self), item.name):
                continue
            kind = value_type(type(self), item.name)
            fits = type(value) is kind or (kind is float and type(value) is int)
            if not fits or (kind is float and not math.isfinite(value)):
                what = "a finite number" if kind is float else f"of type {kind.__name__}"
                raise SettingsError(f"--{item.name}={value!r} is not {what}")
            if limits["choices"] and value not in limits["choices"]:
                raise SettingsError(
                    f"--{item.name}={value} is unknown; use one of {', '.join(limits['choices'])}"
                )
            if limits["least"] is not None and value < limits["least"]:
                raise SettingsError(
                    f"--{item.name}={value} is too small; use {limits['least']} or more"
                )
            if limits["most"] is not None and value > limits["most"]:
                raise SettingsError(
                    f"--{item.name}={value} is too large; use {limits['most']} or less"
                )

    def to_json(self) -> dict:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: dict):
        known = {item.name for item in dataclasses.fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise SettingsError(
                f"{cls.__name__} has no setting {unknown[0]!r}; it was written by another version"
            )
        return cls(**values)
