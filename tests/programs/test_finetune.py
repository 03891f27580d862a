"""Fine-tuning as a user does it: from a pre-trained run, over seeds, over a benchmark."""

import json
import signal
from pathlib import Path

import pytest

WORDS = ("cat", "dog", "house", "tree")


@pytest.fixture(scope="module")
def rows(programs) -> Path:
    path = programs.folder / "rows.tsv"
    lines = [f"The {WORDS[n % 4]} sees {n} of them.\t{WORDS[n % 2]}" for n in range(24)]
    path.write_text("\n".join(["text\tlabel", *lines]))
    return path


def _flags(rows, pretrained):
    return [
        "--task=classify", f"--dataset={rows}", "--text_fields=text", "--validation_fraction=0.3",
        f"--init_checkpoint={pretrained}", "--train_batch_size=8", "--train_epochs=2",
        "--warmup_proportion=0.1", "--evaluations=2", "--learning_rate=1e-2", "--log_every=1",
        "--jit_compile=false", "--noinspect",
    ]  # fmt: skip


def _train(programs, *arguments, **how):
    return programs.run("sparse_mixer_tf.train", *arguments, eager=True, **how)


@pytest.fixture(scope="module")
def tuned(programs, rows, pretrained) -> tuple[Path, str]:
    workdir = programs.folder / "tuned"
    code, output = _train(programs, *_flags(rows, pretrained), f"--workdir={workdir}")
    assert code == 0, output
    return workdir, output


def test_every_weight_is_accounted_for(tuned):
    _, output = tuned
    assert "weights of step 4 of" in output
    assert "restored (31): embedding/hidden_mapping_in/bias" in output
    assert "fresh (2): logits/bias, logits/kernel" in output
    assert "not used (7): masked_lm_head/bias" in output


def test_a_run_is_scored_and_reported(tuned):
    workdir, output = tuned
    records = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    held_out = [record for record in records if record["split"] == "validation"]
    assert len(held_out) == 3 and {"score", "accuracy", "macro_f1", "error"} <= set(held_out[0])
    page = (workdir / "report/index.html").read_text()
    assert "Confusion, held out" in page and "Score, held out" in page
    settings = json.loads((workdir / "settings.json").read_text())
    assert settings["labels"] == ["cat", "dog"] and settings["model"]["architecture"] == "lgs"
    assert "score" in output


def test_a_tuned_run_can_be_scored_on_other_data(programs, tuned, rows):
    code, output = programs.run(
        "sparse_mixer_tf.evaluate", f"--workdir={tuned[0]}", f"--dataset={rows}", eager=True
    )
    assert code == 0, output
    found = json.loads((tuned[0] / "evaluation.json").read_text())
    best = max(
        record["score"]
        for record in map(json.loads, (tuned[0] / "metrics.jsonl").read_text().splitlines())
        if record["split"] == "validation" and record["step"] > 0
    )
    assert found["score"] == pytest.approx(best)


def test_a_tuned_run_classifies_texts(programs, tuned):
    code, output = programs.run(
        "sparse_mixer_tf.predict",
        f"--workdir={tuned[0]}",
        "--text=The cat sees 3 of them.",
        "--text=The dog.\tThe house.",  # one text is asked for: a tab is white space
        "--format=json",
        eager=True,
    )
    assert code == 0, output
    first, second = (json.loads(line) for line in output.splitlines())
    assert first["label"] in ("cat", "dog") and second["segments"] == ["The dog.\tThe house."]
    assert sum(first["probabilities"].values()) == pytest.approx(1, abs=1e-3)


@pytest.mark.long(
    "a sweep starts each of its runs anew, libraries and all; tests/experiments/test_sweep.py"
)
def test_seeds_run_one_after_the_other_and_continue_in_the_middle(programs, rows, pretrained):
    workdir = programs.folder / "seeds"
    flags = [*_flags(rows, pretrained), "--seeds=1,2", f"--workdir={workdir}"]
    process = programs.start("sparse_mixer_tf.train", *flags)
    second = False
    for line in process.stdout:
        second = second or line.strip().endswith("seed_2")
        if second and line.startswith("step 1/"):
            process.send_signal(signal.SIGTERM)
            break
    output = process.communicate()[0]
    assert process.returncode == 75, output
    code, output = programs.run("sparse_mixer_tf.train", *flags)
    assert code == 0, output
    assert "seed_1 is complete" in output and f"continuing {workdir / 'seed_2'}" in output
    (group,) = json.loads((workdir / "sweep.json").read_text())
    scores = sorted(metrics["score"] for metrics in group["runs"].values())
    assert len(scores) == 2 and group["spread"] == scores
    assert group["median"] == pytest.approx(sum(scores) / 2)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--dataset=glue/colla"], "did you mean glue/cola"),
        (["--dataset=glue/cola"], "run `tfds build glue/cola --data_dir="),
        (["--text_fields=words"], "rows.tsv:2 has no field 'words'"),
        (["--max_seq_length=16"], "position_embedding has shape (32, 8) there and (16"),
        (["--seeds=1,two"], "--seeds: 'two' is no number"),
    ],
)
def test_a_mistake_is_one_clear_line_and_exit_code_2(programs, rows, pretrained, flags, message):
    workdir = programs.folder / "mistake"
    empty = [f"--data_dir={programs.folder / 'no_data'}"]
    code, output = _train(
        programs, *_flags(rows, pretrained), *empty, *flags, f"--workdir={workdir}"
    )
    assert code == 2, output
    assert message in output and "Traceback" not in output
    assert not workdir.exists()


def test_another_vocabulary_than_the_checkpoints_is_refused(programs, rows, pretrained, shared):
    other = shared / "data/vocab/local_bpe_32000.model"
    workdir = programs.folder / "other_vocabulary"
    code, output = _train(
        programs, *_flags(rows, pretrained), f"--vocab_filepath={other}", f"--workdir={workdir}"
    )
    assert code == 2 and "was trained with vocabulary" in output, output
    assert not workdir.exists()


def test_a_benchmark_is_scored_and_predicted_for(programs, pretrained, shared):
    folder, submission = programs.folder / "benchmark", programs.folder / "submission"
    code, output = _train(
        programs, "--task=classify", f"--init_checkpoint={pretrained}", "--dataset=super_glue/cb",
        f"--data_dir={shared / 'data/tfds'}", "--train_steps=1", "--warmup_steps=0", "--noinspect",
        "--train_batch_size=8", "--eval_batch_size=64", "--evaluations=1", "--jit_compile=false",
        f"--workdir={folder / 'cb'}",
    )  # fmt: skip
    assert code == 0, output
    flags = [f"--workdir={folder}", "--benchmark=superglue", f"--predictions={submission}"]
    code, output = programs.run("sparse_mixer_tf.evaluate", *flags, eager=True)
    assert code == 0, output
    assert "Average of 1 of 8 tasks" in output
    assert len((submission / "CB.jsonl").read_text().splitlines()) == 250


@pytest.mark.long("a comparison trains five models one after the other, each in a new process")
def test_a_comparison_and_a_benchmark_from_start_to_end(programs, shared):
    folder = programs.folder / "helps"
    data = f"--data_dir={shared / 'data/tfds'}"
    pretrain = [*programs.small, "--train_steps=4", "--warmup_steps=1", "--eval_every=4"]
    arguments = [
        f"--workdir={folder}", data, f"--pretrain={' '.join(pretrain)}",
        "--finetune=--task=classify --evaluations=1 --jit_compile=false",
        "--tasks=super_glue/cb:16:1", "--seeds=1", "--learning_rates=1e-3",
    ]  # fmt: skip
    code, output = programs.run("benchmarks.pretraining_helps", *arguments)
    assert code == 0, output
    assert "| super_glue/cb | 16, 1 epochs |" in (folder / "table.md").read_text()
    code, output = programs.run(
        "sparse_mixer_tf.evaluate",
        f"--workdir={folder / 'super_glue_cb-16-1' / 'pretrained'}",
        "--benchmark=superglue",
        f"--predictions={folder / 'submission'}",
    )
    assert code == 0, output
    assert "Average of 1 of 8 tasks" in output
    assert len((folder / "submission/CB.jsonl").read_text().splitlines()) == 250
