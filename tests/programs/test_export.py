"""A run handed to production and asked there, as its user does it."""

import json
import re

import pytest

from sparse_mixer_tf.experiments.load import open_run
from sparse_mixer_tf.settings import SettingsError
from tests.programs.shortcuts import packing_otherwise, serving_fails

EXPORT, PREDICT = "sparse_mixer_tf.export", "sparse_mixer_tf.predict"


@pytest.fixture(scope="module")
def exported(programs, pretrained):
    """A run, its export, and what was said."""
    workdir, output = pretrained, programs.folder / "exports/words"
    code, said = programs.run(EXPORT, f"--workdir={workdir}", f"--output={output}", "--top=4")
    assert code == 0, said
    return workdir, output, said


def _snippet(output, monkeypatch, capsys) -> str:
    """Runs the lines of the card where it lies; what they print."""
    code = re.search(r"```python\n(.*?)```", (output / "README.md").read_text(), re.S)[1]
    monkeypatch.chdir(output)
    exec(code, {})
    return capsys.readouterr().out


def test_an_export_is_compared_and_described(exported, monkeypatch, capsys):
    workdir, output, said = exported
    assert "held-out text of" in said and said.count("  ok\n") == 6 and "MISMATCH" not in said
    assert {path.name for path in output.iterdir()} >= {
        "saved_model.pb", "variables", "assets", "keras_hub", "README.md", "export.json",
    }  # fmt: skip
    assert not list(output.parent.glob(".*"))
    vocabulary = (workdir / "vocabulary/spm.model").read_bytes()
    assert (output / "assets/spm.model").read_bytes() == vocabulary
    card = (output / "README.md").read_text()
    facts = json.loads((workdir / "settings.json").read_text())
    assert facts["vocabulary_fingerprint"] in card and facts["data_fingerprint"] in card
    record = json.loads((workdir / "metrics.jsonl").read_text().splitlines()[-1])
    assert f"| loss | {record['loss']:.4g} |" in card
    for words in ("latency, batch of 1,", "latency, batch of 32,", "### `encode`", "routed"):
        assert words in card
    assert "probabilities" in _snippet(output, monkeypatch, capsys)


def test_a_run_and_its_export_fill_masks_alike(programs, exported, tmp_path):
    workdir, output, _ = exported
    texts = tmp_path / "texts.txt"
    lines = ["The [MASK] sees [SEP] the [MASK].", "A dog.", "é \0 [CLS][MASK]"] * 11
    texts.write_text("\n".join(lines))
    answers = []
    for place in (f"--workdir={workdir}", f"--export={output}"):
        code, said = programs.run(PREDICT, place, f"--input={texts}", "--format=json")
        assert code == 0, said
        answers.append([json.loads(line) for line in said.splitlines()])
    assert answers[0] == answers[1] and [row["text"] for row in answers[0]] == lines
    assert [len(row["predictions"]) for row in answers[0][:3]] == [2, 0, 1]


@pytest.mark.long("traces and reloads a language model; tests/serving asks one in one process")
def test_a_run_and_its_export_continue_texts_alike(programs, writer, monkeypatch, capsys):
    workdir, output = writer[0], programs.folder / "exports/writer"
    code, said = programs.run(EXPORT, f"--workdir={workdir}", f"--output={output}")
    assert code == 0, said
    assert "likeliest symbols, written" in said
    prompts = ["--text=The dog ", "--text=A large cat sees the house. The ", "--text=The dog "]
    answers = []
    for place in (f"--workdir={workdir}", f"--export={output}"):
        code, said = programs.run(PREDICT, place, *prompts, "--length=9", "--format=json")
        assert code == 0, said
        answers.append([json.loads(line)["continuation"] for line in said.splitlines()])
    assert answers[0] == answers[1]
    assert answers[0][0] == answers[0][2] and len(answers[0][1].encode()) >= 9
    assert "token_ids" not in _snippet(output, monkeypatch, capsys)


def test_mistakes_are_one_line_and_exit_2(programs, exported, tmp_path):
    workdir, output, _ = exported
    unfinished = tmp_path / "unfinished"
    unfinished.mkdir()
    for name in ("settings.json", "vocabulary"):
        (unfinished / name).symlink_to(workdir / name)
    new = f"--output={tmp_path / 'new'}"
    for program, flags, message in (
        (EXPORT, [f"--workdir={tmp_path}", new], "is not the workdir of a run"),
        (EXPORT, [f"--workdir={unfinished}", new], "has no checkpoint yet"),
        (PREDICT, [f"--workdir={output}", "--text=a"], "is an export; give it as --export="),
        (PREDICT, [f"--export={workdir}", "--text=a"], "is a run; give it as --workdir="),
        (PREDICT, [f"--export={output}", "--text=a", "--top=9"], "export with --top=9"),
    ):
        code, said = programs.run(program, *flags)
        assert code == 2 and message in said and len(said.splitlines()) == 1, said
    assert not (tmp_path / "new").exists()


def test_an_export_that_does_not_load_fails_and_leaves_the_earlier_one(programs, exported):
    workdir, output, _ = exported
    before = (output / "README.md").read_text()
    flags = [f"--workdir={workdir}", f"--output={output}"]
    code, said = programs.run(EXPORT, *flags, shortcuts=[serving_fails])
    assert code == 1, said
    assert f"error: the SavedModel does not load; nothing was written to {output}" in said
    assert (output / "README.md").read_text() == before and not list(output.parent.glob(".*"))


@pytest.mark.long("exports once more; tests/serving/parity/test_check.py finds the difference")
def test_an_export_that_answers_otherwise_fails_and_leaves_the_earlier_one(programs, exported):
    workdir, output, _ = exported
    before = (output / "README.md").read_text()
    flags = [f"--workdir={workdir}", f"--output={output}"]
    code, said = programs.run(EXPORT, *flags, shortcuts=[packing_otherwise])
    assert code == 1, said
    assert "error: the export is not the run: ids made in the graph" in said
    assert "Traceback" not in said
    assert (output / "README.md").read_text() == before and not list(output.parent.glob(".*"))


def test_a_vocabulary_that_is_not_the_runs_is_refused(pretrained, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    for path in pretrained.iterdir():
        (run / path.name).symlink_to(path)
    (run / "vocabulary").unlink()
    (run / "vocabulary").mkdir()
    mutated = (pretrained / "vocabulary/spm.model").read_bytes().replace(b"Dog", b"Dag")
    (run / "vocabulary/spm.model").write_bytes(mutated)
    with pytest.raises(SettingsError, match="is not what the run was trained with"):
        open_run(run)
