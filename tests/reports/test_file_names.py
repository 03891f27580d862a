"""A run that someone sent writes nothing outside of its report."""

import json

import pytest

from sparse_mixer_tf import reports
from sparse_mixer_tf.reports.page import file_name
from sparse_mixer_tf.settings import SettingsError
from sparse_mixer_tf.training.workdir import write_atomically


def make_run(workdir, metric):
    workdir.mkdir(parents=True)
    records = [
        {"step": step, "split": split, "loss": 1.0, metric: 0.5 + step / 9}
        for step in (1, 2, 3)
        for split in ("train", "validation")
    ]
    (workdir / "metrics.jsonl").write_text("\n".join(map(json.dumps, records)))
    settings = {"model": {}, "training": {"task": "pretrain"}, "data": {}}
    (workdir / "settings.json").write_text(json.dumps(settings | {"vocabulary_fingerprint": "0"}))
    return workdir


@pytest.mark.parametrize(
    "metric", ["../../../escaped", "/absolute/escaped", "..", "a/b", "\x00x", "é" * 99]
)
def test_a_metric_names_a_file_of_plain_letters(metric):
    name = file_name(metric)
    assert name.endswith(".png") and not name.startswith(".") and len(name) < 100
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.")
    assert file_name("masked_lm_loss") == "masked_lm_loss.png"
    assert file_name("a/b") != file_name("a_b")


def test_a_metric_that_looks_like_a_path_is_drawn_inside_of_the_report(tmp_path, dots):
    run = make_run(tmp_path / "sent" / "run", "../../../escaped")
    before = {path for path in tmp_path.rglob("*") if "report" not in path.parts}
    reports.write(run)
    assert {path for path in tmp_path.rglob("*") if "report" not in path.parts} == before
    assert any("escaped" in path.name for path in (run / "report").iterdir())


def test_links_in_a_report_are_replaced_and_a_report_that_is_one_is_refused(tmp_path, dots):
    run, precious = make_run(tmp_path / "run", "score"), tmp_path / "precious.txt"
    precious.write_text("years of work")
    (run / "report").mkdir()
    for name in ("index.html", "loss.png", "loss.png.writing"):
        (run / "report" / name).symlink_to(precious)
    reports.write(run)
    assert precious.read_text() == "years of work"
    assert not (run / "report/index.html").is_symlink()
    other = make_run(tmp_path / "other", "score")
    (tmp_path / "elsewhere").mkdir()
    (other / "report").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SettingsError, match="report is a link to another folder; name one with"):
        reports.write(other)
    assert not list((tmp_path / "elsewhere").iterdir())


def test_an_atomic_write_goes_through_no_link(tmp_path):
    (tmp_path / "target").write_text("old")
    (tmp_path / "a.json.writing").symlink_to(tmp_path / "target")
    write_atomically(tmp_path / "a.json", "new")
    assert (tmp_path / "target").read_text() == "old"
    assert (tmp_path / "a.json").read_text() == "new"
