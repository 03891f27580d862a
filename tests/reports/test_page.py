"""The report of a run is one page that opens offline and says only what the run measured."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from sparse_mixer_tf import reports

PNG = b"\x89PNG\r\n\x1a\n"


class Tags(HTMLParser):
    """Collects the tags of a page and checks that each one is closed in order."""

    VOID = {"meta", "img", "input", "source"}

    def __init__(self, page):
        super().__init__()
        self.open, self.seen = [], []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def log_a_run(workdir, experts=True, steps=200):
    rng = np.random.default_rng(0)
    lines = []
    for step in range(0, steps + 1, 10):
        accuracy = 0.3 * step / steps
        if step:
            lines.append(
                {"step": step, "split": "train", "loss": 9 - step / 50, "learning_rate": 1e-3}
                | {"masked_lm_loss": 8.5 - step / 50, "masked_lm_accuracy": accuracy}
                | {"gradient_norm": 1.0, "tokens_per_second": 9e3 + step, "seconds": step * 2.5}
                | {"entropy": 2.0}
            )
        if step % 50 == 0:
            load = {f"sublayer_0{i}_g": rng.dirichlet(np.ones(8) * 9).tolist() for i in (3, 5)}
            lines.append(
                {"step": step, "split": "validation", "loss": 9.1 - step / 50, "entropy": 1.9}
                | {"masked_lm_accuracy": accuracy, "baseline_accuracy": 0.046}
                | ({"expert_load": load} if experts else {})
            )
    workdir.mkdir(exist_ok=True)
    (workdir / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (workdir / "settings.json").write_text(
        json.dumps({"d_model": 256, "routing": {"num_experts": 8}, "note": "<b>&"})
    )
    samples = [
        {
            "text": "a [MASK] & <b>",
            "predictions": [{"truth": "▁cat", "top": [["▁dog", 0.5], ["▁cat", 0.25]]}],
        }
    ]
    (workdir / "samples.jsonl").write_text(
        json.dumps({"step": 0, "samples": [{"text": "an early one", "predictions": []}]})
        + "\n"
        + json.dumps({"step": steps, "samples": samples})
        + "\n"
    )


def test_the_page_is_well_formed_and_needs_nothing_else(tmp_path):
    log_a_run(tmp_path / "run")
    page = reports.write(tmp_path / "run")
    assert page == tmp_path / "run" / "report" / "index.html"
    text = page.read_text("utf-8")
    assert "of each expert" in text
    tags = Tags(text).seen
    assert not re.search(r"(https?:)?//\w", re.sub(r"data:image/png;base64,[^\"]+", "", text))
    images = [attrs for tag, attrs in tags if tag == "img"]
    assert all(
        image["src"].startswith("data:image/png;base64,") and image["alt"] for image in images
    )
    assert [attrs["media"] for tag, attrs in tags if tag == "source"] == [
        "(prefers-color-scheme: dark)"
    ] * len(images)
    assert not [tag for tag, _ in tags if tag in ("script", "link")]


def test_a_picture_is_drawn_for_every_metric_that_was_logged_and_for_no_other(tmp_path):
    log_a_run(tmp_path)
    reports.write(tmp_path)
    pictures = {path.stem for path in (tmp_path / "report").glob("*.png")}
    assert pictures == {
        "loss", "masked_lm_loss", "masked_lm_accuracy", "learning_rate", "gradient_norm",
        "tokens_per_second", "expert_load", "entropy",
    }  # fmt: skip
    assert all(
        (tmp_path / "report" / f"{name}.png").read_bytes().startswith(PNG) for name in pictures
    )


def test_a_picture_lets_the_page_be_seen_outside_and_inside_of_its_frame(tmp_path):
    log_a_run(tmp_path)
    folder = reports.write(tmp_path).parent
    for path in folder.glob("*.png"):
        with Image.open(path) as picture:
            alpha = np.asarray(picture.convert("RGBA"))[..., 3]
        assert not alpha[[0, -1]].any() and not alpha[:, [0, -1]].any(), path.name
        # A curve covers little of its frame; the loads of experts are a map, which fills it.
        assert path.stem == "expert_load" or np.mean(alpha == 0) > 0.9, path.name


def test_a_run_without_experts_has_no_expert_picture(tmp_path, dots):
    log_a_run(tmp_path, experts=False)
    page = reports.write(tmp_path).read_text("utf-8")
    assert not (tmp_path / "report" / "expert_load.png").exists()
    assert "of each expert" not in page and "Tokens no expert took" not in page


def test_the_summary_compares_with_the_baseline_and_the_untrained_model(tmp_path, dots):
    log_a_run(tmp_path)
    page = reports.write(tmp_path).read_text("utf-8")
    for expected in (
        "<b>30.0%</b>", "always the most frequent: 4.6%", "6.5 times the most frequent",
        "The untrained model", "5.1000 nats",
    ):  # fmt: skip
        assert expected in page
    assert "8 min 20 s" in page and "Sentence order" not in page


def test_settings_and_samples_are_shown_escaped_and_only_the_last_samples(tmp_path, dots):
    log_a_run(tmp_path)
    page = reports.write(tmp_path).read_text("utf-8")
    assert "<th>routing.num_experts</th><td>8</td>" in page
    assert "&lt;b&gt;&amp;" in page and "a [MASK] &amp; &lt;b&gt;" in page
    assert '<span class="right">cat</span> <span class="soft">25%</span>' in page
    assert "an early one" not in page


def test_a_run_of_one_training_line_makes_a_page(tmp_path, dots):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "split": "train", "loss": 2.5}\n')
    assert "<td>1</td>" in reports.write(tmp_path).read_text("utf-8")


def test_a_half_written_line_and_values_that_are_not_finite_are_left_out(tmp_path, dots):
    (tmp_path / "metrics.jsonl").write_text(
        '{"step": 1, "split": "train", "loss": NaN}\n'
        '{"step": 2, "split": "train", "loss": 2.5}\n'
        '{"step": 3, "split": "tr'
    )
    assert "<td>2</td>" in reports.write(tmp_path).read_text("utf-8")


def test_an_empty_run_is_refused_by_the_name_of_its_folder(tmp_path):
    with pytest.raises(ValueError, match=re.escape(f"{tmp_path} is no run")):
        reports.write(tmp_path)
