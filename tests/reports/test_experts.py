import re

import numpy as np

from sparse_mixer_tf import reports
from sparse_mixer_tf.experiments import log as run_log
from sparse_mixer_tf.reports import experts
from sparse_mixer_tf.reports.theme import DARK, LIGHT, distinct, oklch
from tests.reports.made_up_runs import EVIL, inspection, write_run


def _record(**layer) -> dict:
    plain = {"taken": [30, 10], "untaken": 0, "mean_gate": [0.4, 0.2], "words": [[], []]}
    return {
        "tokens": 40, "step": 5, "paragraph": ["a", " cat", "s", " sat\n"],
        "experts": {"sublayer_01_g/moe": plain | layer},
    }  # fmt: skip


def _text(html: str) -> str:
    return re.sub(r"<[^>]*>", "", html)


def test_a_paragraph_has_the_number_of_the_first_expert_and_tells_of_the_others():
    takers = [[[1, 0.6], [0, 0.3]], [[0, 0.5]], [], [[1, 0.4]]]
    (section,) = experts.words_section(_record(paragraph=takers))
    assert '<span class="x1" title="expert 1: 0.60, expert 0: 0.30">a<sup>1</sup>' in section.body
    assert '<span class="none" title="no expert">s</span>' in section.body
    # The text reads on, its spaces uncoloured and its line ends where they were.
    paragraph = re.search(r'<p class="coloured">(.*?)</p>', section.body, re.S)[1]
    assert re.sub("<sup>.</sup>", "", paragraph).count("\n") == 1
    assert _text(re.sub("<sup>.</sup>", "", paragraph)) == "a cats sat\n"


def test_single_characters_of_one_expert_are_told_in_one():
    record = _record(paragraph=[[[1, 0.6]], [[1, 0.5]], [[0, 0.5]], [[1, 0.4]]])
    record["paragraph"] = list("ab c")
    (section,) = experts.words_section(record)
    assert '<span class="x1" title="expert 1, 2 tokens">ab<sup>1</sup></span>' in section.body
    # A space by itself is a sign that can be seen.
    assert ">\u2423<sup>0</sup>" in section.body


def test_words_show_how_often_they_were_taken_of_how_often_they_were_there():
    words = [[{"text": "cat", "lift": 3.25, "count": 1_200, "seen": 1_300}], []]
    (section,) = experts.words_section(_record(words=words, paragraph=[[], [], [], []]))
    assert 'title="3.2 times its share">cat <small>1,200/1,300</small>' in section.body
    assert "no preference" in section.body and "75.0%" in section.body


def test_where_all_take_equally_many_bars_are_of_gates():
    (section,) = experts.words_section(_record(taken=[20, 20], paragraph=[[], [], [], []]))
    assert "50.0%" not in _text(section.body) and "gate 0.40" in _text(section.body)


def test_without_an_inspection_there_is_no_such_section_and_no_colours():
    assert experts.words_section({}) == [] and experts.count({}) == 0


def test_layers_get_lines_of_their_own_where_they_were_logged(tmp_path):
    log = run_log.read(write_run(tmp_path, experts=4))
    charts = {chart.name: chart.description for chart in experts.charts(log)}
    assert charts["router_entropy"] == "Router entropy over training steps, by layer"
    # It never changes.
    assert "load_cv" not in charts and "expert_load" in charts
    steps, layers = log.routing_by_layer("router_entropy")
    np.testing.assert_array_equal(steps, [0, 20, 40, 60, 80, 100])
    assert len(layers) == 3 and all(values.shape == (6,) for values in layers.values())
    assert log.routing_by_layer("never_logged")[1] == {}


def test_data_cannot_become_html(tmp_path, dots):
    page = reports.write(write_run(tmp_path)).read_text("utf-8")
    assert EVIL not in page and "<script" not in page and "<img src=x" not in page
    assert page.count("&lt;script&gt;alert(1)") >= 5
    record, _ = inspection(np.random.default_rng(0), 4)
    (section,) = experts.words_section(record)
    assert "<script" not in section.body


def test_many_experts_get_many_colours():
    for theme in (LIGHT, DARK):
        assert len(set(distinct(16, theme.tints))) == 16
        assert all(re.fullmatch("#[0-9a-f]{6}", c) for c in distinct(64, theme.tints))


def test_oklch_gives_the_colours_that_css_gives():
    # The conversions of the colour specification's sample code.
    assert oklch(1, 0, 0) == "#ffffff" and oklch(0, 0, 0) == "#000000"
    assert oklch(0.62796, 0.25768, 29.234) == "#ff0000"
    assert oklch(0.45201, 0.31321, 264.05) == "#0000ff"
