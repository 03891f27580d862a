import pytest
import tensorflow as tf

from sparse_mixer_tf.autotune import precision
from sparse_mixer_tf.autotune.precision import (
    BFLOAT16,
    FLOAT32,
    fastest_precision,
    in_known_precision,
    measure,
)
from sparse_mixer_tf.layers import Sublayer
from sparse_mixer_tf.settings import ModelSettings, TrainingSettings

SMALL = ModelSettings(architecture="sf", d_model=8, d_ff=16, num_heads=2)


@pytest.fixture
def timed(monkeypatch):
    """Decides what is measured."""

    def set_times(**seconds: float):
        monkeypatch.setattr(precision, "measure", lambda name, model: seconds[name])

    return set_times


@pytest.mark.parametrize(
    ("plain", "half", "expected"), [(0.2, 0.1, BFLOAT16), (0.1, 0.2, FLOAT32), (0.1, 0.1, FLOAT32)]
)
def test_the_faster_is_chosen_and_said(timed, plain, half, expected):
    timed(float32=plain, mixed_bfloat16=half)
    said = []
    assert fastest_precision(SMALL, say=said.append) == expected
    (line,) = said
    assert f"{1e3 * plain:.3g} ms in float32, {1e3 * half:.3g} in bfloat16, so {expected}" in line


def test_workers_choose_what_is_faster_for_all_of_them(timed):
    timed(float32=0.3, mixed_bfloat16=0.1)
    of_the_other = iter([0.1, 0.5])
    chosen = fastest_precision(SMALL, lambda own: own + next(of_the_other), lambda line: None)
    assert chosen == FLOAT32


def test_only_auto_is_timed_and_not_on_a_tpu(timed):
    timed(float32=0.1, mixed_bfloat16=0.2)
    asked = TrainingSettings(precision="auto", seed=3)
    on_cpu = in_known_precision(asked, SMALL, on_tpu=False)
    assert on_cpu == TrainingSettings(precision=FLOAT32, seed=3)
    assert in_known_precision(asked, SMALL, on_tpu=True).precision == BFLOAT16
    timed()
    for given in (FLOAT32, BFLOAT16):
        known = TrainingSettings(precision=given)
        assert in_known_precision(known, SMALL, on_tpu=True) == known


@pytest.mark.parametrize("activation", ["gelu", "gated_gelu"])
@pytest.mark.parametrize("name", [FLOAT32, BFLOAT16])
def test_a_sublayer_computes_in_the_precision_that_is_timed(monkeypatch, name, activation):
    computed, differentiated = [], []
    monkeypatch.setattr(Sublayer, "call", _noting(Sublayer.call, computed))
    monkeypatch.setattr(
        tf.GradientTape, "gradient", _counting(tf.GradientTape.gradient, differentiated)
    )
    model = ModelSettings(architecture="sf", d_model=8, d_ff=16, activation=activation)
    assert measure(name, model) > 0
    assert computed == [{FLOAT32: "float32", BFLOAT16: "bfloat16"}[name]]
    # The input, LayerNorm's two weights, and two for each dense layer.
    assert differentiated == [3 + 2 * (3 if activation == "gated_gelu" else 2)]


def _noting(call, dtypes: list):
    def noted(layer, x, **kwargs):
        dtypes.append(x.dtype.name)
        return call(layer, x, **kwargs)

    return noted


def _counting(gradient, sources: list):
    def counted(tape, target, of):
        sources.append(len(of))
        return gradient(tape, target, of)

    return counted
