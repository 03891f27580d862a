"""`report`, on runs of every task."""

import json
import shutil

import pytest


@pytest.fixture(scope="module")
def run(programs):
    workdir = programs.folder / "reported"
    code, output = programs.train(workdir, "--train_steps=20", "--inspect")
    assert code == 0, output
    return workdir


def test_a_training_ends_with_a_look_at_its_weights(run):
    record = json.loads((run / "report/inspection.json").read_text())
    assert record["step"] == 20 and "sublayer_01_g/moe" in record["experts"]
    page = (run / "report/index.html").read_text()
    for title in ("What the experts take", "Mixing", "Attention", "Sublayers", "Where the time"):
        assert f"{title}" in page


def test_the_report_is_made_anew_and_says_where(programs, run):
    shutil.rmtree(run / "report")
    code, output = programs.run("sparse_mixer_tf.report", str(run))
    assert code == 0 and output.strip().endswith(f"{run}/report/index.html"), output
    assert "What the experts take" in (run / "report/index.html").read_text()


def test_without_data_or_checkpoint_the_page_has_what_is_known(programs, run):
    copy = programs.folder / "moved"
    shutil.copytree(run, copy)
    settings = json.loads((copy / "settings.json").read_text())
    settings["data"]["dataset"] = str(programs.folder / "gone.txt")
    (copy / "settings.json").write_text(json.dumps(settings))
    code, output = programs.run("sparse_mixer_tf.report", str(copy))
    assert code == 0 and "held-out data not looked at" in output and "gone.txt" in output
    page = (copy / "report/index.html").read_text()
    assert "Mixing" in page and "What the experts take" not in page
    shutil.rmtree(copy / "checkpoints")
    code, output = programs.run("sparse_mixer_tf.report", str(copy), "--output", str(copy / "x"))
    assert code == 0 and "weights not looked at" in output
    assert "Mixing" in (copy / "x/index.html").read_text()


def test_two_runs_are_compared(programs, run):
    other = programs.folder / "reported_too"
    shutil.copytree(run, other)
    settings = json.loads((other / "settings.json").read_text())
    settings["training"]["seed"] = 1
    (other / "settings.json").write_text(json.dumps(settings))
    code, output = programs.run("sparse_mixer_tf.report", str(run), str(other))
    page = programs.folder / "comparison_reported_reported_too/index.html"
    assert code == 0 and output.strip().endswith(str(page)), output
    assert "training.seed" in page.read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no run was named"),
        (["nowhere"], "nowhere is no run"),
        (["nowhere", "--output=README.md"], "README.md is a file; give a folder"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(programs, arguments, message):
    code, output = programs.run("sparse_mixer_tf.report", *arguments)
    assert code == 2 and message in output and "Traceback" not in output
    assert len(output.strip().splitlines()) == 1
