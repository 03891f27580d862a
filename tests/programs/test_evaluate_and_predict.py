import json

import pytest

from tests.programs.conftest import write_text


@pytest.fixture(scope="module")
def run(programs):
    workdir = programs.folder / "scored"
    code, output = programs.train(workdir, "--train_steps=20")
    assert code == 0, output
    return workdir


def test_evaluation_repeats_the_score_of_the_best_checkpoint(programs, run):
    code, output = programs.run("sparse_mixer_tf.evaluate", f"--workdir={run}", "--eval_steps=2")
    assert code == 0, output
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    last = [r for r in records if r["split"] == "validation"][-1]
    assert f"loss {last['loss']:.3f}" in output
    assert "held out after step 20" in output


def test_other_text_is_scored_in_the_vocabulary_of_the_run(programs, run, tmp_path):
    text = write_text(tmp_path / "other.txt", seed=1)
    code, output = programs.run(
        "sparse_mixer_tf.evaluate",
        f"--workdir={run}",
        f"--dataset={text}",
        f"--cache_dir={tmp_path}/cache",
    )
    assert code == 0, output
    assert "masked accuracy" in output


@pytest.mark.parametrize("program", ["evaluate", "predict"])
def test_a_folder_without_a_run_is_named(programs, tmp_path, program):
    flags = [f"--workdir={tmp_path / 'no'}"] + (["--text=a"] if program == "predict" else [])
    code, output = programs.run(f"sparse_mixer_tf.{program}", *flags)
    assert code == 2
    assert "no does not exist" in output and "Traceback" not in output


def test_masks_are_filled_from_flags_and_from_a_file(programs, run, tmp_path):
    texts = ["The [MASK] sees the [MASK].", "A dog."]
    lines = tmp_path / "texts.txt"
    lines.write_text("\n".join(texts))
    code, output = programs.run(
        "sparse_mixer_tf.predict", f"--workdir={run}", f"--input={lines}", "--format=json"
    )
    assert code == 0, output
    rows = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    assert [row["text"] for row in rows] == texts
    assert [len(row["predictions"]) for row in rows] == [2, 0]
    for prediction in rows[0]["predictions"]:
        shares = [share for _, share in prediction["top"]]
        assert len(shares) == 3 and shares == sorted(shares, reverse=True) and sum(shares) <= 1.001
    code, table = programs.run(
        "sparse_mixer_tf.predict", f"--workdir={run}", *(f"--text={text}" for text in texts)
    )
    assert code == 0 and "%" in table and table.count("no [MASK] to fill") == 1
    code, output = programs.run("sparse_mixer_tf.predict", f"--workdir={run}", "--input=none.txt")
    assert code == 2 and "--input=none.txt" in output
