"""One seed, one model with experts, clipping: the same losses however the batch is cut.

Routing groups are single sequences here (`--max_group_size` is one), so no cut runs through one;
dropout is off, whose masks differ from replica to replica.
"""

import os
import signal

import pytest

from tests.reliability.conftest import Run, metrics

LONG = pytest.mark.long("trains the same run on every kind of cluster, each traced anew")
FLAGS = (
    "--architecture=lg",
    "--train_steps=10",
    "--eval_every=5",
    "--checkpoint_every=4",
    "--max_group_size=32",
    "--max_gradient_norm=0.5",
    "--dropout_rate=0",
    "--attention_dropout_rate=0",
    "--expert_dropout_rate=0",
)
CUTS = {
    "four_replicas": (("--virtual_devices=4",), 1),
    "replicas_and_accumulation": (("--virtual_devices=2", "--gradient_accumulation_steps=2"), 1),
    "parts_at_once": (("--parts_at_once=2", "--gradient_accumulation_steps=2"), 1),
    "two_workers": (("--gradient_accumulation_steps=2",), 2),
    "four_workers": ((), 4),
    "experts_on_four_replicas": (("--virtual_devices=4", "--expert_parallel=4"), 1),
    "experts_on_two_workers": (("--expert_parallel=2", "--gradient_accumulation_steps=2"), 2),
}
SAME = ("loss", "masked_lm_loss", "order_loss", "balance_loss", "gradient_norm", "learning_rate")


@pytest.fixture(scope="module")
def whole(programs) -> Run:
    run = Run(programs, "whole", *FLAGS)
    code, output = run.finish()
    assert code == 0, output
    return run


def _assert_same(run: Run, whole: Run) -> None:
    for split in ("train", "validation"):
        ours, theirs = metrics(run.workdir, split), metrics(whole.workdir, split)
        assert sorted(ours) == sorted(theirs)
        for step, row in theirs.items():
            for name in SAME:
                if name in row:
                    assert ours[step][name] == pytest.approx(row[name], rel=2e-4, abs=1e-5), (
                        split, step, name,
                    )  # fmt: skip


def test_two_replicas_have_the_numbers_of_one(programs):
    steps = ("--train_steps=2", "--warmup_steps=1", "--eval_every=2", "--checkpoint_every=2")
    cuts = {"one": (), "two": ("--virtual_devices=2",)}
    runs = [
        Run(programs, f"{name}_eager", *FLAGS, *steps, *cut, eager=True)
        for name, cut in cuts.items()
    ]
    for run in runs:
        code, output = run.finish()
        assert code == 0, output
    assert "2 replica(s)" in output
    _assert_same(*runs[::-1])


@LONG
@pytest.mark.parametrize("cut", CUTS)
def test_cutting_the_batch_changes_no_number(programs, whole, cut):
    flags, workers = CUTS[cut]
    run = Run(programs, cut, *FLAGS, *flags, workers=workers)
    processes = run.start_workers() if workers > 1 else [run.start()]
    outputs = [process.communicate()[0] for process in processes]
    assert all(process.returncode == 0 for process in processes), "".join(outputs)
    _assert_same(run, whole)


@LONG
def test_a_run_that_maintenance_ended_goes_on_with_another_number_of_replicas(
    programs, whole, metadata
):
    metadata.values["maintenance-event"] = "TERMINATE_ON_HOST_MAINTENANCE"
    run = Run(programs, "moved", *FLAGS, "--watch_maintenance=true")
    code, output = run.finish()
    assert code == 75, output
    assert "maintenance-event=TERMINATE_ON_HOST_MAINTENANCE received at step" in output
    # Nobody asks where nobody is told to.
    run.flags[-1:] = ["--virtual_devices=2"]
    code, output = run.finish()
    assert code == 0, output
    _assert_same(run, whole)


@LONG
def test_a_signal_to_the_launcher_saves_and_asks_to_be_run_again(programs, whole):
    run = Run(programs, "interrupted_workers", *FLAGS, workers=2)
    process = run.start()
    for line in process.stdout:
        if "step 3/" in line:
            # What Ctrl-C sends; SIGTERM is in tests/reliability.
            os.kill(process.pid, signal.SIGINT)
            break
    output = process.stdout.read()
    assert process.wait(timeout=120) == 75, output
    assert "run the same command again to continue" in output
    code, output = run.finish()
    assert code == 0, output
    _assert_same(run, whole)


@LONG
def test_a_run_whose_experts_are_apart_goes_on_with_another_number_and_is_used_on_one_device(
    programs, whole, metadata
):
    metadata.values["maintenance-event"] = "TERMINATE_ON_HOST_MAINTENANCE"
    flags = ("--watch_maintenance=true", "--virtual_devices=2", "--expert_parallel=2")
    run = Run(programs, "experts_moved", *FLAGS, *flags)
    code, output = run.finish()
    assert code == 75, output
    assert "experts on 2 replicas: each holds" in output
    run.flags[-3:] = ["--virtual_devices=4", "--expert_parallel=4"]
    code, output = run.finish()
    assert code == 0, output
    _assert_same(run, whole)
    for module in ("evaluate", "export"):
        arguments = [f"--workdir={run.workdir}"]
        if module == "export":
            arguments.append(f"--output={programs.folder / 'experts_moved_export'}")
        code, output = programs.run(f"sparse_mixer_tf.{module}", *arguments)
        assert code == 0, output
