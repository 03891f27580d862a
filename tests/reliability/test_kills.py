"""SIGKILL in the middle of what must not be half done."""

import os
import random
import signal
import subprocess
import time

import pytest

from tests.programs.warm_start import Program
from tests.reliability.conftest import Run, latest_bits, metrics

pytestmark = pytest.mark.long("kills whole runs at random instants, also one of two workers")

# Wide enough that writing takes some milliseconds, and not deep.
WIDE = (
    "--architecture=lg",
    "--d_model=128",
    "--d_ff=512",
    "--train_steps=16",
    "--checkpoint_every=2",
    "--eval_every=8",
)
WHERE = {"one_device": (), "mirrored": ("--virtual_devices=2",)}
# Kills at random instants between; on one device these are in tests/programs/test_train.py.
RANDOM = {"one_device": (), "mirrored": (1, 9)}


def _kill_while_writing(run: Run, after: int) -> bool:
    """Kills at the `after`th checkpoint that is being written; whether one was left unfinished."""
    process, folder, seen = run.start(), run.workdir / "checkpoints", set()
    while process.poll() is None:
        if folder.exists():
            seen |= {name for name in os.listdir(folder) if name.startswith(".writing")}
        if len(seen) >= after:
            process.kill()
            break
        time.sleep(1e-4)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    return any(name.startswith(".writing") for name in os.listdir(folder))


def _kill_at_random(run: Run, last_step: int, chooser: random.Random) -> None:
    """Kills some steps after `last_step`, anywhere in a step."""
    process, moment = run.start(), last_step + chooser.randint(0, 6)
    for line in process.stdout:
        if line.startswith("step ") and int(line.split()[1].split("/")[0]) >= moment:
            break
    time.sleep(chooser.uniform(0, 0.03))
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("where", WHERE)
def test_killed_inside_checkpoint_writes_and_anywhere_it_ends_with_the_same_bits(programs, where):
    undisturbed = Run(programs, f"undisturbed_{where}", *WIDE, *WHERE[where])
    code, output = undisturbed.finish()
    assert code == 0, output
    run = Run(programs, f"killed_{where}", *WIDE, *WHERE[where])
    unfinished = sum(_kill_while_writing(run, after) for after in (1, 2, 3))
    chooser = random.Random(11)
    for last_step in RANDOM[where]:
        _kill_at_random(run, last_step, chooser)
    # Else the kills have met nothing.
    assert unfinished > 0
    code, output = run.finish()
    assert code == 0, output
    assert latest_bits(run.workdir) == latest_bits(undisturbed.workdir)
    for split in ("train", "validation"):
        losses = [{s: r["loss"] for s, r in metrics(x.workdir, split).items()}
                  for x in (run, undisturbed)]  # fmt: skip
        assert losses[0] == losses[1]


def _children(process: Program) -> list[int]:
    listed = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True, check=True
    )
    return [int(pid) for pid in listed.stdout.split()]


def test_one_worker_killed_stops_the_others_and_the_restart_continues(programs):
    steps = ("--train_steps=16", "--eval_every=8")
    undisturbed = Run(programs, "two_workers", *steps, workers=2)
    code, output = undisturbed.finish()
    assert code == 0, output
    run = Run(programs, "two_workers_killed", *steps, workers=2)
    process, printed = run.start(), []
    for line in process.stdout:
        printed.append(line)
        if "step 10/" in line:
            os.kill(_children(process)[1], signal.SIGKILL)
            break
    printed.append(process.stdout.read())
    assert process.wait(timeout=120) == 1
    told = "worker 1 was killed by SIGKILL, the others were stopped; run the same command again"
    assert told in "".join(printed)
    code, output = run.finish()
    assert code == 0, output
    assert f"continuing {run.workdir} at step " in output
    assert latest_bits(run.workdir) == latest_bits(undisturbed.workdir)


@pytest.mark.parametrize("apart", [(), ("--expert_parallel=2",)], ids=["together", "apart"])
def test_without_a_launcher_a_worker_says_that_the_other_is_gone(programs, apart):
    steps = ("--train_steps=2000", "--eval_every=2000", *apart)
    chief, other = Run(programs, f"unwatched_{len(apart)}", *steps, workers=2).start_workers()
    for line in chief.stdout:
        if "step 10/" in line:
            other.kill()
            break
    other.communicate()
    output, _ = chief.communicate(timeout=300)
    assert chief.returncode == 1, output
    assert "another worker is gone" in output
    assert "run the same command on all workers again to continue" in output
    assert "Traceback" not in output
