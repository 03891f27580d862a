"""A run and its checkpoints: damaged ones, other flags, forks."""

import functools
import json
import shutil
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from tests.programs.conftest import PRETRAINED
from tests.programs.shortcuts import with_little_room

STEPS = (*PRETRAINED, "--noinspect")


def _bits(workdir: Path) -> dict[str, bytes]:
    arrays = load_file(workdir / "checkpoints/00000004/state.safetensors")
    return {name: array.tobytes() for name, array in arrays.items()}


def _metrics(workdir: Path) -> list[dict]:
    lines = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
    return [line for line in lines if line["split"] == "train"]


@pytest.fixture
def copy(programs, pretrained, request) -> Path:
    """A run like `pretrained`, to harm."""
    return shutil.copytree(pretrained, programs.folder / request.node.name)


def _damage(state: Path) -> None:
    content = bytearray(state.read_bytes())
    content[-1] ^= 1
    state.write_bytes(content)


def test_the_last_damaged_the_one_before_it_is_used_and_leads_to_the_same_bits(
    programs, pretrained, copy
):
    _damage(copy / "checkpoints/00000004/state.safetensors")
    code, output = programs.train(copy, *STEPS, eager=True)
    assert code == 0, output
    assert f"checkpoint {copy}/checkpoints/00000004 is damaged and not used" in output
    assert f"continuing {copy} at step 3" in output
    assert _bits(copy) == _bits(pretrained)


def test_all_damaged_is_an_error_and_no_fresh_start(programs, copy):
    logged = (copy / "metrics.jsonl").read_bytes()
    for state in (copy / "checkpoints").glob("[0-9]*/state.safetensors"):
        _damage(state)
    code, output = programs.train(copy, *STEPS, eager=True)
    assert code == 1
    assert f"none of the checkpoints in {copy / 'checkpoints'} is whole" in output
    assert "Traceback" not in output and "step 1/" not in output
    assert (copy / "metrics.jsonl").read_bytes() == logged


def test_a_full_disk_lets_the_run_go_on_and_the_next_start_continue(programs, pretrained, copy):
    state = copy / "checkpoints/00000004/state.safetensors"
    at = functools.partial(with_little_room, state.stat().st_size // 2)
    shutil.rmtree(state.parent)
    code, output = programs.train(copy, *STEPS, eager=True, shortcuts=[at])
    assert code == 1, output
    assert "could not be written" in output and "training goes on" in output
    assert "step 4/4" in output and "it continues at step 3" in output
    assert "Traceback" not in output and not state.exists()
    code, output = programs.train(copy, *STEPS, eager=True)
    assert code == 0, output
    assert _bits(copy) == _bits(pretrained)


@pytest.mark.parametrize(
    ("flag", "told"),
    [
        ("--learning_rate=0.5", "learning_rate was 0.01, now 0.5"),
        ("--train_steps=20", "train_steps was 4, now 20"),
    ],
)
def test_flags_that_make_another_run_are_refused_with_the_way_to_a_fork(
    programs, pretrained, flag, told
):
    code, output = programs.train(pretrained, *STEPS, flag)
    assert code == 2 and told in output and "--fork_from=" in output


def test_a_fork_goes_on_from_the_checkpoint_to_the_same_bits(programs, pretrained):
    workdir = programs.folder / "fork"
    # Harmless flags may differ.
    flags = (*STEPS, "--checkpoint_every=9", f"--fork_from={pretrained}@3")
    code, output = programs.train(workdir, *flags, eager=True)
    assert code == 0, output
    assert [row["step"] for row in _metrics(workdir)] == [4]
    assert _bits(workdir) == _bits(pretrained)


def test_a_fork_may_have_another_learning_rate(programs, pretrained):
    workdir = programs.folder / "fork_other"
    flags = (*STEPS, "--learning_rate=1e-3", f"--fork_from={pretrained}@3")
    assert programs.train(workdir, *flags, eager=True)[0] == 0
    rates = [_metrics(run)[-1]["learning_rate"] for run in (pretrained, workdir)]
    assert rates[1] == pytest.approx(rates[0] / 10)


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("{run}@1", "has checkpoints of these steps: "),
        ("nowhere", "not of the form WORKDIR@STEP"),
        ("nowhere@3", "nowhere does not exist"),
        ("{run}@4", "leaves no step of --train_steps=4"),
        ("{run}@3 --vocab_size=110", "was trained with vocabulary"),
    ],
)
def test_a_fork_of_what_is_not_there_is_refused(programs, pretrained, tmp_path, place, told):
    flags = f"--fork_from={place.format(run=pretrained)}".split()
    code, output = programs.train(tmp_path / "run", *STEPS, *flags, eager=True)
    assert code == 2 and told in output, output


@pytest.mark.long("trains three more runs; tests/training/test_workdir.py has the rule")
def test_more_steps_go_on_where_the_rate_does_not_know_the_last(programs):
    whole, cut = (programs.folder / name for name in ("whole", "cut"))
    flags = (*STEPS, "--learning_rate_decay=rsqrt")
    assert programs.train(whole, *flags, eager=True)[0] == 0
    assert programs.train(cut, *flags, "--train_steps=2", eager=True)[0] == 0
    code, output = programs.train(cut, *flags, eager=True)
    assert code == 0, output
    assert f"continuing {cut} at step 2" in output
    assert _bits(cut) == _bits(whole)
    code, output = programs.train(cut, *flags)
    assert code == 0 and "is complete: 4 of 4 steps" in output
