import pytest

from sparse_mixer_tf.autotune import mixing
from sparse_mixer_tf.autotune.mixing import in_known_mixing, measure
from sparse_mixer_tf.layers.mixing.base import Mixing
from sparse_mixer_tf.settings import ModelSettings

SMALL = {"d_model": 8, "d_ff": 16, "num_heads": 2}
MIXED = ModelSettings(architecture="rfcflftf", **SMALL)


@pytest.fixture
def timed(monkeypatch):
    """Decides what is measured, by letter and way; notes what was asked for."""
    asked = []

    def set_times(seconds: dict):
        def measured(letter, way, *sizes):
            asked.append((letter, way, *sizes))
            return seconds[letter, way]

        monkeypatch.setattr(mixing, "measure", measured)
        return asked

    return set_times


def _times(fft: dict, matmul: dict) -> dict:
    return {(k, "fft"): v for k, v in fft.items()} | {(k, "matmul"): v for k, v in matmul.items()}


def test_a_gpu_is_asked_what_is_faster_over_all_sublayers(timed):
    asked = timed(_times({"r": 0.1, "c": 0.1, "t": 0.4}, {"r": 0.2, "c": 0.2, "t": 0.1}))
    said = []
    known = in_known_mixing(MIXED, 64, "mixed_bfloat16", "gpu", say=said.append)
    assert known.mixing_implementation == "matmul"
    assert said == [
        "--mixing_implementation=auto: mixing takes 600 ms by FFT, 500 by matrix products, so "
        "matmul"
    ]
    assert asked[:2] == [
        ("r", "fft", 8, 64, "mixed_bfloat16"),
        ("c", "fft", 8, 64, "mixed_bfloat16"),
    ]
    assert {letter for letter, *_ in asked} == set("rct")


def test_workers_choose_what_is_faster_for_all_of_them(timed):
    timed(_times({"r": 0.1, "c": 0.1, "t": 0.1}, {"r": 0.2, "c": 0.2, "t": 0.2}))
    of_the_other = iter([0.9, 0.1])
    known = in_known_mixing(
        MIXED, 64, "float32", "gpu", lambda own: own + next(of_the_other), lambda line: None
    )
    assert known.mixing_implementation == "matmul"


@pytest.mark.parametrize(
    ("device", "architecture", "way"),
    [
        ("cpu", "rf", "auto"),
        ("tpu", "rf", "auto"),
        ("gpu", "rf", "fft"),
        ("gpu", "lfsf", "auto"),
        ("gpu", "sfsf", "auto"),
    ],
)
def test_nothing_is_timed_where_the_choice_is_known(timed, device, architecture, way):
    timed({})
    model = ModelSettings(architecture=architecture, mixing_implementation=way, **SMALL)
    assert in_known_mixing(model, 64, "float32", device) == model


@pytest.mark.parametrize("letter", "rhct")
def test_a_layer_mixes_in_the_way_that_is_timed(monkeypatch, letter):
    ways = []
    call = Mixing.call

    def noting(layer, x, **kwargs):
        ways.append(("fft" if layer.uses_fft else "matmul", tuple(x.shape), x.dtype.name))
        return call(layer, x, **kwargs)

    monkeypatch.setattr(Mixing, "call", noting)
    for way in mixing.WAYS:
        assert measure(letter, way, 8, 64, "mixed_bfloat16") > 0
    assert ways == [(way, (64, 64, 8), "bfloat16") for way in mixing.WAYS]
