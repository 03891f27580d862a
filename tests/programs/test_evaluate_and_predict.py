import json

import pytest

from tests.programs.conftest import write_text

EVALUATE, PREDICT = "sparse_mixer_tf.evaluate", "sparse_mixer_tf.predict"


def test_evaluation_repeats_the_score_of_the_best_checkpoint(programs, pretrained):
    code, output = programs.run(EVALUATE, f"--workdir={pretrained}", "--eval_steps=1", eager=True)
    assert code == 0, output
    records = [json.loads(line) for line in (pretrained / "metrics.jsonl").read_text().splitlines()]
    scored = [r for r in records if r["split"] == "validation" and r["step"]]
    best = min(scored, key=lambda record: record["loss"])
    assert f"loss {best['loss']:.3f}" in output
    assert f"held out after step {best['step']}" in output


def test_other_text_is_scored_in_the_vocabulary_of_the_run(programs, pretrained, tmp_path):
    text = write_text(tmp_path / "other.txt", seed=1)
    code, output = programs.run(
        EVALUATE, f"--workdir={pretrained}", f"--dataset={text}", "--eval_steps=1",
        f"--cache_dir={tmp_path}/cache", eager=True,
    )  # fmt: skip
    assert code == 0, output
    assert "masked accuracy" in output


@pytest.mark.parametrize("program", ["evaluate", "predict"])
def test_a_folder_without_a_run_is_named(programs, tmp_path, program):
    flags = [f"--workdir={tmp_path / 'no'}"] + (["--text=a"] if program == "predict" else [])
    code, output = programs.run(f"sparse_mixer_tf.{program}", *flags)
    assert code == 2
    assert "no does not exist" in output and "Traceback" not in output


def test_masks_are_filled_from_flags_and_from_a_file(programs, pretrained, tmp_path):
    texts = ["The [MASK] sees the [MASK].", "A dog."]
    lines = tmp_path / "texts.txt"
    lines.write_text("\n".join(texts))
    code, output = programs.run(
        PREDICT, f"--workdir={pretrained}", f"--input={lines}", "--format=json", eager=True
    )
    assert code == 0, output
    rows = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    assert [row["text"] for row in rows] == texts
    assert [len(row["predictions"]) for row in rows] == [2, 0]
    for prediction in rows[0]["predictions"]:
        shares = [share for _, share in prediction["top"]]
        assert len(shares) == 3 and shares == sorted(shares, reverse=True) and sum(shares) <= 1.001
    code, table = programs.run(
        PREDICT, f"--workdir={pretrained}", *(f"--text={text}" for text in texts), eager=True
    )
    assert code == 0 and "%" in table and table.count("no [MASK] to fill") == 1
    code, output = programs.run(PREDICT, f"--workdir={pretrained}", "--input=none.txt")
    assert code == 2 and "--input=none.txt" in output
