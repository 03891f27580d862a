import json
import signal

import pytest
from safetensors.numpy import load_file


@pytest.fixture(scope="module")
def flags(programs):
    return [
        "--flagfile=configs/brainformer_quickstart.flags",
        f"--dataset={programs.text}",
        f"--cache_dir={programs.folder / 'cache'}",
        "--architecture=sgf",
        "--share_block_weights",
        "--d_model=16",
        "--d_ff=24",
        "--num_heads=2",
        "--num_experts=4",
        "--attn_span=64",
        "--adapt_span",
        "--block_size=16",
        "--train_batch_size=4",
        "--train_steps=30",
        "--warmup_steps=3",
        "--eval_every=10",
        "--eval_steps=3",
        "--checkpoint_every=5",
        "--log_every=1",
        "--jit_compile=false",
    ]


@pytest.fixture(scope="module")
def finished(programs, flags):
    workdir = programs.folder / "language_model"
    code, output = programs.run("sparse_mixer_tf.train", *flags, f"--workdir={workdir}")
    assert code == 0, output
    return workdir, output


def _bits(workdir):
    arrays = load_file(workdir / "checkpoints/00000030/state.safetensors")
    return {name: array.tobytes() for name, array in arrays.items()}


def test_a_run_learns_and_shows_its_bits_beside_those_of_an_ngram_model(finished):
    workdir, output = finished
    records = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    bits = [r["bits_per_character"] for r in records if r["split"] == "validation"]
    assert bits[-1] < bits[0] - 0.5
    assert "a 5-gram model" in output and "│" in output
    page = (workdir / "report/index.html").read_text()
    assert "Learned attention span of each head" in page and "Continued text" in page


def test_interrupted_it_goes_on_to_the_same_bits_memory_included(programs, flags, finished):
    workdir = programs.folder / "language_model_interrupted"
    process = programs.start("sparse_mixer_tf.train", *flags, f"--workdir={workdir}")
    for line in process.stdout:
        if line.startswith("step 12/"):
            process.send_signal(signal.SIGTERM)
            break
    process.communicate()
    assert process.returncode == 75
    code, output = programs.run("sparse_mixer_tf.train", *flags, f"--workdir={workdir}")
    assert code == 0, output
    assert "memory/carried" in _bits(workdir)
    assert _bits(workdir) == _bits(finished[0])


def test_it_continues_a_prompt_and_scores_both_held_out_splits(programs, finished):
    workdir, _ = finished
    prompt = programs.text.read_text()[:6].strip()
    code, output = programs.run(
        "sparse_mixer_tf.predict", f"--workdir={workdir}", f"--text={prompt}", "--length=12",
        "--format=json",
    )  # fmt: skip
    assert code == 0, output
    record = json.loads(output.strip().splitlines()[-1])
    assert record["prompt"] == prompt and len(record["continuation"]) >= 6
    code, output = programs.run(
        "sparse_mixer_tf.evaluate", f"--workdir={workdir}", "--full_eval_mode", "--eval_stride=16"
    )
    assert code == 0, output
    results = json.loads((workdir / "evaluation.json").read_text())
    assert [result["split"] for result in results] == ["validation", "test"]
    assert "bits per character" in output


def test_mistakes_are_one_line_and_exit_2(programs, flags, finished):
    workdir, _ = finished
    for extra, said in (
        (["--router=experts_choose", "--gate=softmax"], "experts_choose"),
        (["--architecture=sfq"], "'q' in --architecture"),
        (["--block_size=1000000"], "--block_size=1000000 does not fit"),
        (["--num_heads=3"], "--num_heads=3 does not divide"),
    ):
        command = ["sparse_mixer_tf.train", *flags, f"--workdir={programs.folder / 'wrong'}"]
        code, output = programs.run(*command, *extra)
        assert code == 2 and said in output, output
    code, output = programs.run(
        "sparse_mixer_tf.train", *flags, f"--workdir={workdir}", "--architecture=sfg"
    )
    assert code == 2 and "architecture" in output
    code, output = programs.run("sparse_mixer_tf.predict", f"--workdir={workdir}", "--text=é")
    assert code == 2 and "not among the" in output
