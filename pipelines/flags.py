"""The data flags, made from the fields of `DataSettings`."""

import dataclasses
import typing

from absl import flags

from pipelines.settings import DataSettings

FLAGS = flags.FLAGS

_DEFINE = {
    str: flags.DEFINE_string,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    bool: flags.DEFINE_bool,
}


def _define(field: dataclasses.Field, annotation) -> None:
    if field.metadata["choices"]:
        choices = list(field.metadata["choices"])
        flags.DEFINE_enum(field.name, field.default, choices, field.metadata["help"])
        return
    kind = next(kind for kind in (typing.get_args(annotation) or (annotation,)) if kind in _DEFINE)
    _DEFINE[kind](field.name, field.default, field.metadata["help"])


for _field in dataclasses.fields(DataSettings):
    _define(_field, typing.get_type_hints(DataSettings)[_field.name])


def from_flags() -> DataSettings:
    """The settings that the parsed command line asks for.

    Raises:
        InputError: a value is out of range.
    """
    return DataSettings(**{f.name: FLAGS[f.name].value for f in dataclasses.fields(DataSettings)})
