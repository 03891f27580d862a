"""Mixing, attention, cost and time: what is shown is what was measured."""

import re

import numpy as np
import pytest

from sparse_mixer_tf.experiments import log
from sparse_mixer_tf.experiments.log import RunLog
from sparse_mixer_tf.reports import attention, mixing, timing
from sparse_mixer_tf.reports.html import duration
from sparse_mixer_tf.reports.plots import by_octave_parts, short_name
from sparse_mixer_tf.reports.summary import spelled_out
from tests.reports.made_up_runs import inspection, write_run

EMPTY = RunLog([], [], {}, [])


@pytest.fixture
def inspected():
    return inspection(np.random.default_rng(0), 4)


def _text(html: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


def test_pooled_matrices_say_so(inspected):
    record, arrays = inspected
    (section,) = mixing.section(record, arrays)
    assert "A pixel is the mean of 4 x 4 weights." in section.body
    (section,) = mixing.section(record | {"mixing_tile": 1}, arrays)
    assert "A pixel" not in section.body


def test_what_was_not_looked_at_is_left_out():
    assert mixing.section({}, {}) == [] == attention.section(EMPTY, {}, {})
    assert timing.sublayers({}) == [] == timing.loop(EMPTY)


def test_attention_shows_maps_distances_and_spans(inspected, tmp_path):
    record, arrays = inspected
    (section,) = attention.section(log.read(write_run(tmp_path)), record, arrays)
    for alt in ("for one held-out example", "of layer 02 s, up to 64 tokens back", "Learned att"):
        assert alt in section.body


def test_means_over_distances_keep_the_sum_and_the_near_ones():
    values = np.arange(1.0, 101.0)
    distance, mean = by_octave_parts(values)
    np.testing.assert_allclose(distance, mean)
    assert distance[0] == 1 and distance[1] == 2 and np.all(np.diff(distance) > 0)
    assert len(distance) < 40


def test_the_sublayer_table_has_times_where_they_were_measured(inspected):
    record, _ = inspected
    (section,) = timing.sublayers(record)
    assert "01 g experts 5,000 700 9 12.0 ms" in _text(section.body)
    assert "5,900 parameters" in section.caption and "16 x 32" in section.caption
    (section,) = timing.sublayers(record | {"forward_seconds": {}})
    assert "ms" not in _text(section.body)


def test_a_reused_sublayer_has_the_time_of_the_one_whose_weights_it_uses():
    row = {"parameters": 1, "active_parameters": 1, "flops": 2}
    rows = [
        row | {"name": "sublayer_00_g", "kind": "experts"},
        row | {"name": "sublayer_01_g", "kind": "experts (weights reused)"},
    ]
    record = {
        "sublayers": rows,
        "forward_seconds": {"sublayer_00_g": 0.25},
        "forward_batch": [1, 2],
    }
    (section,) = timing.sublayers(record)
    assert section.body.count("250.0 ms") == 2


def test_the_seconds_of_the_loop_add_up(tmp_path):
    parts = timing.loop_parts(log.read(write_run(tmp_path)))
    assert parts["step_seconds"] == 200 and parts["compiling_seconds"] == 5
    assert parts["evaluation_seconds"] == 20 and parts["data_seconds"] == pytest.approx(3)
    # 250 seconds of training, of which steps and waiting took 203.
    assert parts["other"] == pytest.approx(47)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4211, "0.42 s"), (42, "42 s"), (500, "8 min 20 s"), (12_000, "3 h 20 min")],
)
def test_times_read_as_they_are_said(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("written", "spelled"),
    [("2*(lf)s", "lflfs"), ("2*(s2*(gf).)", "sgfgf.sgfgf."), ("lf", "lf"), ("*(x", "*(x")],
)
def test_architectures_are_spelled_out_letter_by_letter(written, spelled):
    assert spelled_out(written) == spelled


def test_layers_have_short_names():
    assert short_name("sublayer_03_g/moe, use 2") == "03 g, use 2"
    assert short_name("sublayer_00_l") == "00 l"
