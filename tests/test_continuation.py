import pytest

from sparse_mixer_tf.continuation import as_it_began
from sparse_mixer_tf.settings import ModelSettings, TrainingSettings


def _before(precision: str, **model) -> dict:
    return {"training": {"precision": precision}, "model": model}


@pytest.mark.parametrize("way", ["fft", "matmul", "auto"])
def test_auto_is_what_it_came_to_when_the_run_began(way):
    before = _before("mixed_bfloat16", mixing_implementation=way)
    training, model = as_it_began(before, TrainingSettings(precision="auto"), ModelSettings())
    assert training == TrainingSettings(precision="mixed_bfloat16")
    assert model == ModelSettings(mixing_implementation=way)


def test_what_is_asked_for_is_left_alone():
    asked = TrainingSettings(precision="float32"), ModelSettings(mixing_implementation="fft")
    before = _before("mixed_bfloat16", mixing_implementation="matmul")
    assert as_it_began(before, *asked) == asked


def test_a_run_older_than_the_choice_has_none():
    model = as_it_began(_before("float32"), TrainingSettings(), ModelSettings())[1]
    assert model.mixing_implementation == "auto"
