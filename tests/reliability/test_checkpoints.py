"""Checkpoints that are damaged, that do not fit on the disk, and what a run makes of them."""

import os
import resource
import shutil
import signal
import subprocess
import sys

import pytest

from tests.programs.conftest import ROOT
from tests.reliability.conftest import Run, latest_bits, metrics

pytestmark = pytest.mark.long("starts many runs to damage their checkpoints")

STEPS = ("--train_steps=16", "--checkpoint_every=4", "--eval_every=8", "--checkpoints_to_keep=9")


@pytest.fixture(scope="module")
def undisturbed(programs) -> Run:
    run = Run(programs, "undisturbed", *STEPS)
    code, output = run.finish()
    assert code == 0, output
    return run


def _interrupted(programs, name: str, *flags: str) -> Run:
    """A run that a signal ended in the middle."""
    run = Run(programs, name, *STEPS, *flags)
    process = run.start()
    for line in process.stdout:
        if line.startswith("step 9/"):
            process.send_signal(signal.SIGTERM)
            break
    process.communicate()
    assert process.returncode == 75
    return run


def _states(run: Run):
    return sorted((run.workdir / "checkpoints").glob("[0-9]*/state.safetensors"))


def test_the_newest_damaged_the_one_before_it_is_used(programs, undisturbed):
    run = _interrupted(programs, "newest_damaged")
    newest, before = _states(run)[-1], _states(run)[-2]
    os.truncate(newest, newest.stat().st_size - 1)
    code, output = run.finish()
    assert code == 0, output
    assert f"checkpoint {newest.parent} is damaged and not used" in output
    assert f"at step {int(before.parent.name)}" in output
    assert latest_bits(run.workdir) == latest_bits(undisturbed.workdir)
    # A run that is complete, but for its last checkpoint.
    newest = _states(run)[-1]
    os.truncate(newest, newest.stat().st_size - 1)
    code, output = run.finish()
    assert code == 0, output
    assert f"checkpoint {newest.parent} is damaged and not used" in output
    assert latest_bits(run.workdir) == latest_bits(undisturbed.workdir)


def test_all_damaged_is_an_error_and_no_fresh_start(programs):
    run = _interrupted(programs, "all_damaged")
    logged = (run.workdir / "metrics.jsonl").read_bytes()
    for state in _states(run):
        content = bytearray(state.read_bytes())
        content[-1] ^= 1
        state.write_bytes(content)
    code, output = run.finish()
    assert code == 1
    assert f"none of the checkpoints in {run.workdir / 'checkpoints'} is whole" in output
    assert "Traceback" not in output and "step 1/" not in output
    assert (run.workdir / "metrics.jsonl").read_bytes() == logged


def test_a_full_disk_lets_the_run_go_on_and_the_next_start_continue(programs, undisturbed):
    run = _interrupted(programs, "full_disk")
    size = _states(run)[-1].stat().st_size
    there = [state.parent.name for state in _states(run)]

    def no_room():
        # Writes beyond this fail as they do on a full disk.
        resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, size // 2))

    process = subprocess.run(
        [sys.executable, "-m", "sparse_mixer_tf.train", *run.flags],
        cwd=ROOT,
        preexec_fn=no_room,
        capture_output=True,
        text=True,
        timeout=600,
    )
    output = process.stdout + process.stderr
    assert process.returncode == 1, output
    assert "could not be written" in output and "training goes on" in output
    assert "step 16/16" in output and f"it continues at step {int(there[-1])}" in output
    assert "Traceback" not in output
    assert [state.parent.name for state in _states(run)] == there
    code, output = run.finish()
    assert code == 0, output
    assert latest_bits(run.workdir) == latest_bits(undisturbed.workdir)


def test_harmless_flags_may_change_and_others_may_not(programs, undisturbed):
    run = _interrupted(programs, "changed_flags")
    run.flags += ["--log_every=2", "--checkpoint_every=5"]
    code, output = run.finish()
    assert code == 0, output
    assert latest_bits(run.workdir) == latest_bits(undisturbed.workdir)
    for flag, told in (
        ("--learning_rate=0.5", "learning_rate was 0.01, now 0.5"),
        ("--train_steps=20", "train_steps was 16, now 20"),
    ):
        run.flags.append(flag)
        code, output = run.finish()
        assert code == 2 and told in output and "--fork_from=" in output
        run.flags.pop()


def test_more_steps_go_on_where_the_rate_does_not_know_the_last(programs):
    whole, cut = (Run(programs, name, *STEPS, "--learning_rate_decay=rsqrt") for name in "ab")
    assert whole.finish()[0] == 0
    cut.flags.append("--train_steps=6")
    assert cut.finish()[0] == 0
    cut.flags.pop()
    code, output = cut.finish()
    assert code == 0, output
    assert f"continuing {cut.workdir} at step 6" in output
    assert latest_bits(cut.workdir) == latest_bits(whole.workdir)
    code, output = cut.finish()
    assert code == 0 and "is complete: 16 of 16 steps" in output


def test_a_fork_goes_on_from_the_checkpoint_with_other_flags(programs, undisturbed):
    same = Run(programs, "fork_same", *STEPS, f"--fork_from={undisturbed.workdir}@8")
    code, output = same.finish()
    assert code == 0, output
    assert sorted(metrics(same.workdir)) == list(range(9, 17))
    assert latest_bits(same.workdir) == latest_bits(undisturbed.workdir)
    other = Run(programs, "fork_other", *STEPS, f"--fork_from={undisturbed.workdir}@8")
    other.flags.append("--learning_rate=1e-3")
    assert other.finish()[0] == 0
    rates = [metrics(run.workdir)[9]["learning_rate"] for run in (undisturbed, other)]
    assert rates[1] == pytest.approx(rates[0] / 10)
    for place, told in (
        (f"{undisturbed.workdir}@3", "has checkpoints of these steps: 4, 8, 12, 16"),
        ("nowhere", "not of the form WORKDIR@STEP"),
        ("nowhere@3", "nowhere does not exist"),
        (f"{undisturbed.workdir}@16", "leaves no step of --train_steps=16"),
    ):
        run = Run(programs, "fork_mistake", *STEPS, f"--fork_from={place}")
        code, output = run.finish()
        assert code == 2 and told in output, output
        shutil.rmtree(run.workdir, ignore_errors=True)
    words = ("--vocab_size=110", f"--fork_from={undisturbed.workdir}@8")
    code, output = Run(programs, "fork_words", *STEPS, *words).finish()
    assert code == 2 and "was trained with vocabulary" in output, output
