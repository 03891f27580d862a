import pytest

from sparse_mixer_tf.settings import SettingsError
from sparse_mixer_tf.tpu.chips import parse_topology


def test_a_slice_is_its_chip_and_how_many_there_are():
    slices = {name: parse_topology(name) for name in ("v5e:2x2", "v5p:2x2x4", "v6e:16x16")}
    assert [(s.chip.name, s.chips) for s in slices.values()] == [
        ("v5e", 4),
        ("v5p", 16),
        ("v6e", 256),
    ]


@pytest.mark.parametrize(
    "text", ["v5e", "v4:2x2", "v5e:2x", "v5e-4", "v5e:2x2x1", "v5p:2x2", "v6e:0x4"]
)
def test_what_is_no_slice_is_refused_with_examples(text):
    with pytest.raises(SettingsError, match=rf"--tpu_topology={text}.*such as v5e:2x2"):
        parse_topology(text)
