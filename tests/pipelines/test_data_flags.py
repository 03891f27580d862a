import dataclasses

import pytest
from absl import flags

import pipelines.flags  # noqa: F401
from pipelines.settings import DataSettings


@pytest.mark.parametrize("field", dataclasses.fields(DataSettings), ids=lambda field: field.name)
def test_every_setting_is_a_flag_with_its_default_and_help(field):
    flag = flags.FLAGS[field.name]
    assert flag.default == field.default
    assert flag.help


def test_flag_values_keep_the_types_of_the_settings():
    values = flags.FlagValues()
    for field in dataclasses.fields(DataSettings):
        values[field.name] = flags.FLAGS[field.name]
    assert isinstance(values["max_documents"].parser, flags.IntegerParser)
    assert isinstance(values["masking_rate"].parser, flags.FloatParser)
    assert isinstance(values["pack_documents"].parser, flags.BooleanParser)
    assert isinstance(values["pair_objective"].parser, flags.EnumParser)
