import re
from pathlib import Path

import pytest

from sparse_mixer_tf.reports import comparison
from sparse_mixer_tf.settings import SettingsError
from tests.reports.made_up_runs import write_run


def _text(html: str) -> str:
    return " ".join(re.sub(r"<(style|img).*?>|<[^>]*>", " ", html).split())


def test_runs_stand_side_by_side_with_what_sets_them_apart(tmp_path):
    runs = [write_run(tmp_path / "a"), write_run(tmp_path / "b", learning_rate=3e-4)]
    page = comparison.write(runs, tmp_path / "c/d")
    assert page == tmp_path / "c/d/index.html"
    text = page.read_text("utf-8")
    assert "training.learning_rate 0.001 0.0003" in _text(text)
    assert "training.train_steps" not in text.partition("Settings that differ")[2]
    assert "Loss over training steps, of all runs" in text
    assert "Load of the experts of b" in text and "loss, nats 7.1000 7.1000" in _text(text)


def test_the_best_stands_out_among_runs_on_the_same_data_alone(tmp_path, dots):
    runs = [write_run(tmp_path / "a"), write_run(tmp_path / "b")]
    metrics = runs[1] / "metrics.jsonl"
    metrics.write_text(metrics.read_text().replace('"loss": 7.1', '"loss": 6.5'))
    assert '<span class="right">6.5000</span>' in comparison.write(runs, tmp_path).read_text()
    write_run(tmp_path / "b", data_fingerprint="another")
    metrics.write_text(metrics.read_text().replace('"loss": 7.1', '"loss": 6.5'))
    text = comparison.write(runs, tmp_path).read_text()
    assert "6.5000" in text and 'class="right"' not in text


def test_runs_of_one_name_are_told_apart_by_their_folders():
    assert comparison.names([Path("/x/a"), Path("/x/b")]) == ["a", "b"]
    assert comparison.names([Path("/x/seed_0"), Path("/y/seed_0")]) == ["x/seed_0", "y/seed_0"]
    assert len(set(comparison.names([Path("/x/a"), Path("/x/a")]))) == 2


def test_the_page_goes_beside_the_first_run_by_default():
    folder = comparison.default_folder([Path("/runs/a"), Path("/other/b")])
    assert folder == Path("/runs/comparison_a_b")
    assert len(comparison.default_folder([Path("/runs/" + "x" * 300)] * 2).name) < 100


def test_a_folder_that_is_no_run_is_named(tmp_path):
    run = write_run(tmp_path / "a")
    with pytest.raises(SettingsError, match=f"{tmp_path / 'nothing'} is no run"):
        comparison.write([run, tmp_path / "nothing"], tmp_path / "out")
    (run / "metrics.jsonl").unlink()
    with pytest.raises(SettingsError, match="a has logged nothing yet"):
        comparison.write([run, run], tmp_path / "out")
    assert not (tmp_path / "out").exists()
