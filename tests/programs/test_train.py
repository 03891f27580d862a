import functools
import json
import random
import re
import signal
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from tests.programs.shortcuts import signalled


@pytest.fixture(scope="module")
def finished(programs) -> tuple[Path, str]:
    """An undisturbed run of twelve steps as a user starts it, and what it printed."""
    workdir = programs.folder / "undisturbed"
    cold = programs.start_cold("sparse_mixer_tf.train", *programs.small, f"--workdir={workdir}")
    output, _ = cold.communicate()
    assert cold.returncode == 0, output
    return workdir, output


def _bits(workdir: Path) -> dict[str, bytes]:
    steps = sorted(path.name for path in (workdir / "checkpoints").glob("0*"))
    arrays = load_file(workdir / "checkpoints" / steps[-1] / "state.safetensors")
    return {name: array.tobytes() for name, array in arrays.items()}


def _metrics(workdir: Path) -> list[dict]:
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def test_a_run_leaves_everything_in_its_workdir(finished):
    workdir, output = finished
    names = {path.name for path in workdir.iterdir()}
    assert names == {
        "run.flags", "settings.json", "metrics.jsonl", "samples.jsonl", "tensorboard",
        "checkpoints", "vocabulary", "report",
    }  # fmt: skip
    assert (workdir / "report/index.html").stat().st_size > 10_000
    assert (workdir / "vocabulary/spm.model").exists()
    for text in ("step 12/12", "tokens/s", "ETA", "masked-word accuracy", f"run: {workdir}"):
        assert text in output


def test_the_last_step_and_the_best_are_kept(finished):
    workdir, _ = finished
    steps = {int(path.name) for path in (workdir / "checkpoints").glob("0*")}
    held_out = {r["step"]: r["loss"] for r in _metrics(workdir) if r["split"] == "validation"}
    assert sorted(held_out) == [0, 4, 8, 12]
    best = min((4, 8, 12), key=held_out.get)
    assert {12, best} <= steps
    manifest = json.loads((workdir / f"checkpoints/{best:08d}/manifest.json").read_text())
    assert manifest["score"] == held_out[best] < held_out[0]


def test_metrics_have_one_line_a_step_with_the_losses_apart(pretrained):
    train = [record for record in _metrics(pretrained) if record["split"] == "train"]
    assert [record["step"] for record in train] == list(range(1, 5))
    last = train[-1]
    parts = last["masked_lm_loss"] + last["order_loss"]
    factors = 0.01 * last["balance_loss"] + 1e-4 * last["router_z_loss"]
    assert last["loss"] == pytest.approx(parts + factors, rel=1e-4)


def test_the_learning_rate_grows_over_the_warm_up_and_falls_to_the_end(finished):
    rates = [r["learning_rate"] for r in _metrics(finished[0]) if r["split"] == "train"]
    assert len(rates) == 12 and rates[:2] == pytest.approx([1e-2 / 2, 1e-2])
    assert 0 < rates[-1] < 2e-3 and rates[2:] == sorted(rates[2:], reverse=True)


def test_the_same_command_again_says_complete(programs, finished):
    before = _bits(finished[0])
    code, output = programs.train(finished[0])
    assert code == 0
    assert "is complete: 12 of 12 steps" in output
    assert _bits(finished[0]) == before


def _validation(workdir: Path) -> list[dict]:
    return [record for record in _metrics(workdir) if record["split"] == "validation"]


@pytest.mark.long("kills a whole run at five random steps, and traces it each time")
def test_killed_at_random_moments_it_ends_with_the_same_bits(programs, finished):
    workdir, chooser = programs.folder / "killed_often", random.Random(7)
    flags = [*programs.small, f"--workdir={workdir}"]
    for last_step in (1, 3, 5, 7, 9):
        at = functools.partial(signalled, last_step + chooser.randint(0, 1), signal.SIGKILL)
        process = programs.start("sparse_mixer_tf.train", *flags, shortcuts=[at])
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    code, output = programs.train(workdir)
    assert code == 0, output
    assert "continuing" in output
    assert _bits(workdir) == _bits(finished[0])
    assert _validation(workdir) == _validation(finished[0])


def test_killed_and_interrupted_the_flags_of_a_run_repeat_it_bit_by_bit(programs, pretrained):
    workdir = programs.folder / "interrupted"
    command = [
        "sparse_mixer_tf.train", f"--flagfile={pretrained / 'run.flags'}", "--noinspect",
        f"--workdir={workdir}",
    ]  # fmt: skip
    at = functools.partial(signalled, 1, signal.SIGTERM)
    code, output = programs.run(*command, eager=True, shortcuts=[at])
    assert code == 75
    assert "SIGTERM received at step 2" in output and "run the same command again" in output
    at = functools.partial(signalled, 3, signal.SIGKILL)
    code, output = programs.run(*command, eager=True, shortcuts=[at])
    assert code == -signal.SIGKILL
    assert f"continuing {workdir} at step 2" in output
    code, output = programs.run(*command, eager=True)
    assert code == 0, output
    # A checkpoint of step 3 is written while step 4 begins.
    assert re.search(f"continuing {workdir} at step [23]", output)
    assert _bits(workdir) == _bits(pretrained)
    assert _validation(workdir) == _validation(pretrained)


def test_a_run_keeps_precision_and_compilation_that_auto_chose(programs):
    workdir = programs.folder / "auto"
    flags = [
        "--precision=auto", "--jit_compile=auto", "--train_steps=2", "--warmup_steps=1",
        "--eval_every=2", "--checkpoint_every=1",
    ]  # fmt: skip
    code, output = programs.train(workdir, *flags, eager=True)
    assert code == 0, output
    settings = json.loads((workdir / "settings.json").read_text())
    precision, way = settings["training"]["precision"], settings["jit_compile"]
    assert f"in bfloat16, so {precision}" in output and f"replica(s), {precision}" in output
    assert f"a step, so {way}" in output
    bits = _bits(workdir)
    (workdir / "checkpoints/00000002/state.safetensors").write_bytes(b"damaged")
    code, output = programs.train(workdir, *flags, eager=True)
    assert code == 0, output
    assert f"continuing {workdir} at step 1" in output
    assert "in bfloat16, so" not in output and "a step, so" not in output
    assert _bits(workdir) == bits
    code, output = programs.run("sparse_mixer_tf.evaluate", f"--workdir={workdir}", eager=True)
    assert code == 0, output


@pytest.mark.long("has XLA compile a step in every way to time it, minutes each")
@pytest.mark.parametrize("asked", ["auto", "elementwise"])
def test_a_run_keeps_what_xla_compiles_and_goes_on_to_the_same_bits(programs, asked):
    workdir = programs.folder / f"compiled_{asked}"
    flags = [
        "--train_steps=6", "--warmup_steps=1", "--eval_every=3", "--checkpoint_every=3",
        "--precision=mixed_bfloat16", f"--jit_compile={asked}",
    ]  # fmt: skip
    code, output = programs.train(workdir, *flags)
    assert code == 0, output
    chosen = json.loads((workdir / "settings.json").read_text())["jit_compile"]
    if asked == "auto":
        assert f"a step, so {chosen}" in output
    else:
        assert chosen == asked and "--jit_compile" not in output
    bits = _bits(workdir)
    (workdir / "checkpoints/00000006/state.safetensors").write_bytes(b"damaged")
    code, output = programs.train(workdir, *flags)
    assert code == 0, output
    assert "continuing" in output and "a step, so" not in output
    assert _bits(workdir) == bits


def test_another_seed_gives_another_model(programs, pretrained):
    workdir = programs.folder / "other_seed"
    steps = ["--train_steps=1", "--warmup_steps=1", "--eval_every=1"]
    code, output = programs.train(workdir, "--architecture=lgs", "--seed=1", *steps, eager=True)
    assert code == 0, output
    assert _validation(workdir)[0]["loss"] != _validation(pretrained)[0]["loss"]


def test_a_workdir_of_another_run_is_refused_with_the_difference(programs, finished):
    before = _bits(finished[0])
    code, output = programs.train(finished[0], "--learning_rate=1e-3", "--d_ff=64")
    assert code == 2
    assert "d_ff was 16, now 64; learning_rate was 0.01, now 0.001" in output
    assert "Traceback" not in output
    assert _bits(finished[0]) == before


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--architecture=lgxf"], "'x' in --architecture is not a sublayer"),
        (["--learning_rat=1"], "--learning_rat is not a flag; did you mean --learning_rate?"),
        (["--preset=sparse_mixer_bas"], "did you mean sparse_mixer_base?"),
        (
            ["--train_batch_size=9", "--virtual_devices=2"],
            "--train_batch_size=9 is not divisible by 2 replicas; use 8 or 10",
        ),
        (
            ["--train_batch_size=9", "--parts_at_once=2"],
            "--train_batch_size=9 is not divisible by 1 replicas x 2 parts; use 8 or 10",
        ),
        (["--parts_at_once=2", "--jit_compile=true"], "does not fit --jit_compile=true"),
        (["--d_model=ten"], "--d_model=ten"),
        (["--dataset=no_such_file.txt"], "no_such_file.txt"),
        (["--flagfile=no_such.flags"], "error: Unable to open flagfile"),
        (["--workdir="], "--workdir"),
        (["--init_checkpoint=nowhere"], "nowhere does not exist"),
        (["train"], "'train' is not a flag"),
    ],
)
def test_a_mistake_is_one_clear_line_and_exit_code_2(programs, flags, message):
    workdir = programs.folder / "mistake"
    code, output = programs.train(workdir, *flags)
    assert code == 2, output
    assert message in output
    assert "Traceback" not in output
    assert not workdir.exists()


def test_a_folder_that_is_no_run_is_left_alone(programs, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    code, output = programs.train(tmp_path)
    assert code == 2 and "holds something other than a run" in output
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_weights_of_another_run_start_a_new_one(programs, pretrained):
    workdir = programs.folder / "started_from"
    steps = ["--architecture=lgs", "--train_steps=1", "--warmup_steps=1"]
    code, output = programs.train(workdir, f"--init_checkpoint={pretrained}", *steps, eager=True)
    assert code == 0, output
    first = _metrics(workdir)[0]
    scores = [record["loss"] for record in _validation(pretrained) if record["step"]]
    assert first["step"] == 0 and first["loss"] == min(scores)
