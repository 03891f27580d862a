"""A run handed to production and asked there, as its user does it."""

import json
import re
import subprocess
import sys

import pytest

from sparse_mixer_tf.experiments.load import open_run
from sparse_mixer_tf.settings import SettingsError

EXPORT, PREDICT = "sparse_mixer_tf.export", "sparse_mixer_tf.predict"
WRITER = [
    "--flagfile=configs/brainformer_quickstart.flags", "--architecture=sf", "--d_model=16",
    "--d_ff=24", "--num_heads=2", "--num_experts=4", "--attn_span=64", "--block_size=16",
    "--train_batch_size=4", "--train_steps=4", "--warmup_steps=1", "--eval_every=4",
    "--eval_steps=1", "--jit_compile=false",
]  # fmt: skip


@pytest.fixture(scope="module")
def exported(programs, pretrained):
    """A run, its export, and what was said."""
    workdir, output = pretrained, programs.folder / "exports/words"
    code, said = programs.run(EXPORT, f"--workdir={workdir}", f"--output={output}", "--top=4")
    assert code == 0, said
    return workdir, output, said


@pytest.fixture(scope="module")
def writer(programs):
    """A language model's run, and its export."""
    workdir, output = programs.folder / "writer_to_export", programs.folder / "exports/writer"
    data = [f"--dataset={programs.text}", f"--cache_dir={programs.folder / 'cache'}"]
    code, said = programs.run("sparse_mixer_tf.train", *WRITER, *data, f"--workdir={workdir}")
    assert code == 0, said
    code, said = programs.run(EXPORT, f"--workdir={workdir}", f"--output={output}")
    assert code == 0, said
    return workdir, output, said


def _snippet(output):
    """Runs the lines of the card where it lies."""
    code = re.search(r"```python\n(.*?)```", (output / "README.md").read_text(), re.S)[1]
    return subprocess.run(
        [sys.executable, "-c", code], cwd=output, capture_output=True, text=True, check=True
    ).stdout


def test_an_export_is_compared_and_described(exported):
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
    assert "probabilities" in _snippet(output)


def test_a_run_and_its_export_fill_masks_alike(programs, exported, tmp_path):
    workdir, output, _ = exported
    texts = tmp_path / "texts.txt"
    lines = ["The [MASK] sees [SEP] the [MASK].", "A dog.", "é \0 [CLS][MASK]"] * 20
    texts.write_text("\n".join(lines))
    answers = []
    for place in (f"--workdir={workdir}", f"--export={output}"):
        code, said = programs.run(PREDICT, place, f"--input={texts}", "--format=json")
        assert code == 0, said
        answers.append([json.loads(line) for line in said.splitlines()])
    assert answers[0] == answers[1] and [row["text"] for row in answers[0]] == lines
    assert [len(row["predictions"]) for row in answers[0][:3]] == [2, 0, 1]


def test_a_run_and_its_export_continue_texts_alike(programs, writer):
    workdir, output, said = writer
    assert "likeliest symbols, written" in said
    prompts = ["--text=The dog ", "--text=A large cat sees the house. The ", "--text=The dog "]
    answers = []
    for place in (f"--workdir={workdir}", f"--export={output}"):
        code, said = programs.run(PREDICT, place, *prompts, "--length=9", "--format=json")
        assert code == 0, said
        answers.append([json.loads(line)["continuation"] for line in said.splitlines()])
    assert answers[0] == answers[1]
    assert answers[0][0] == answers[0][2] and len(answers[0][1].encode()) >= 9
    assert "token_ids" not in _snippet(output)


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


def test_an_export_that_answers_otherwise_fails_and_leaves_the_earlier_one(programs, exported):
    workdir, output, _ = exported
    before = (output / "README.md").read_text()
    # The program with one line changed: what is saved was not read from the run.
    code = (
        "import runpy, numpy as np\n"
        "from sparse_mixer_tf.serving.ops import packing\n"
        "kept = packing.Packer.pack_masked\n"
        "def other(self, text):\n"
        "    rows = kept(self, text)\n"
        "    return rows | {'token_ids': rows['token_ids'][:, ::-1]}\n"
        "packing.Packer.pack_masked = other\n"
        f"import sys; sys.argv = ['export', '--workdir={workdir}', '--output={output}']\n"
        "runpy.run_module('sparse_mixer_tf.export', run_name='__main__')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert "error: the export is not the run: ids made in the graph" in done.stderr
    assert "Traceback" not in done.stderr
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
