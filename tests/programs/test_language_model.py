"""A language model as its user trains and asks it."""

import functools
import json
import signal

import pytest
from safetensors.numpy import load_file

from tests.programs.conftest import WRITER
from tests.programs.shortcuts import signalled

TRAIN, PREDICT = "sparse_mixer_tf.train", "sparse_mixer_tf.predict"


def _bits(workdir):
    arrays = load_file(workdir / "checkpoints/00000020/state.safetensors")
    return {name: array.tobytes() for name, array in arrays.items()}


def test_a_run_learns_and_shows_its_bits_beside_those_of_an_ngram_model(writer):
    workdir, output = writer
    records = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    bits = [r["bits_per_character"] for r in records if r["split"] == "validation"]
    assert bits[-1] < bits[0] - 0.5
    assert "a 5-gram model" in output and "│" in output
    page = (workdir / "report/index.html").read_text()
    assert "Learned attention span of each head" in page and "Continued text" in page


@pytest.mark.long("traces two more runs; tests/training has the law for memory in one process")
def test_interrupted_it_goes_on_to_the_same_bits_memory_included(programs, writer):
    workdir = programs.folder / "writer_interrupted"
    command = [TRAIN, *WRITER, *programs.data, f"--workdir={workdir}"]
    at = functools.partial(signalled, 7, signal.SIGTERM)
    code, output = programs.run(*command, shortcuts=[at])
    assert code == 75, output
    code, output = programs.run(*command)
    assert code == 0, output
    assert "memory/carried" in _bits(workdir)
    assert _bits(workdir) == _bits(writer[0])


def test_it_continues_a_prompt_and_scores_both_held_out_splits(programs, writer):
    workdir, _ = writer
    prompt = programs.text.read_text()[:6].strip()
    code, output = programs.run(
        PREDICT, f"--workdir={workdir}", f"--text={prompt}", "--length=12",
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


def test_mistakes_are_one_line_and_exit_2(programs, writer):
    workdir, _ = writer
    command = [TRAIN, *WRITER, *programs.data]
    for extra, said in (
        (["--architecture=sg", "--router=experts_choose", "--gate=softmax"], "experts_choose"),
        (["--architecture=sfq"], "'q' in --architecture"),
        (["--block_size=1000000"], "--block_size=1000000 does not fit"),
        (["--num_heads=3"], "--num_heads=3 does not divide"),
    ):
        code, output = programs.run(*command, f"--workdir={programs.folder / 'wrong'}", *extra)
        assert code == 2 and said in output, output
    code, output = programs.run(*command, f"--workdir={workdir}", "--architecture=sfg")
    assert code == 2 and "architecture" in output
    code, output = programs.run(PREDICT, f"--workdir={workdir}", "--text=é", eager=True)
    assert code == 2 and "not among the" in output
