"""`report`, on runs of every task."""

import json
import shutil

import pytest

REPORT = "sparse_mixer_tf.report"


def _copy(programs, pretrained, name):
    return shutil.copytree(pretrained, programs.folder / name)


def test_a_training_ends_with_a_look_at_its_weights(pretrained):
    record = json.loads((pretrained / "report/inspection.json").read_text())
    assert record["step"] in (2, 4) and "sublayer_01_g/moe" in record["experts"]
    page = (pretrained / "report/index.html").read_text()
    for title in ("What the experts take", "Mixing", "Attention", "Sublayers", "Where the time"):
        assert f"{title}" in page


def test_the_report_is_made_anew_and_says_where(programs, pretrained):
    run = _copy(programs, pretrained, "reported_anew")
    shutil.rmtree(run / "report")
    code, output = programs.run(REPORT, str(run), eager=True)
    assert code == 0 and output.strip().endswith(f"{run}/report/index.html"), output
    assert "What the experts take" in (run / "report/index.html").read_text()


def test_without_data_or_checkpoint_the_page_has_what_is_known(programs, pretrained):
    copy = _copy(programs, pretrained, "moved")
    shutil.rmtree(copy / "report")
    settings = json.loads((copy / "settings.json").read_text())
    settings["data"]["dataset"] = str(programs.folder / "gone.txt")
    (copy / "settings.json").write_text(json.dumps(settings))
    code, output = programs.run(REPORT, str(copy), eager=True)
    assert code == 0 and "held-out data not looked at" in output and "gone.txt" in output
    page = (copy / "report/index.html").read_text()
    assert "Mixing" in page and "What the experts take" not in page
    shutil.rmtree(copy / "checkpoints")
    code, output = programs.run(REPORT, str(copy), "--output", str(copy / "x"))
    assert code == 0 and "weights not looked at" in output
    assert "Mixing" in (copy / "x/index.html").read_text()


def test_two_runs_are_compared(programs, pretrained):
    runs = [_copy(programs, pretrained, name) for name in ("one", "another")]
    settings = json.loads((runs[1] / "settings.json").read_text())
    settings["training"]["seed"] = 1
    (runs[1] / "settings.json").write_text(json.dumps(settings))
    code, output = programs.run(REPORT, *map(str, runs))
    page = programs.folder / "comparison_one_another/index.html"
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
    code, output = programs.run(REPORT, *arguments)
    assert code == 2 and message in output and "Traceback" not in output
    assert len(output.strip().splitlines()) == 1
