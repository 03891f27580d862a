"""Runs of a sweep come one after the other; what is interrupted goes on where it stopped."""

import json
import signal
import subprocess

import pytest
from absl.testing import flagsaver

from sparse_mixer_tf.cli.flags import FLAGS
from sparse_mixer_tf.experiments import sweep
from tests.experiments.test_results import _run as write_run

SCORES = {1: 0.5, 2: 0.7}


@pytest.fixture
def started(monkeypatch, tmp_path):
    """The arguments of every run that is started; a run leaves what a trained one does."""
    runs = []

    def run_one(arguments):
        runs.append(arguments)
        seed = next(int(a.removeprefix("--seed=")) for a in arguments if a.startswith("--seed="))
        if not (tmp_path / f"seed_{seed}").exists():
            write_run(tmp_path / f"seed_{seed}", "rows.tsv", SCORES[seed], seed=seed)
        return 0

    monkeypatch.setattr(sweep, "_run_one", run_one)
    with flagsaver.flagsaver():
        FLAGS.unparse_flags()
        FLAGS(["train", "--dataset=rows.tsv", "--seeds=1,2", "--d_ff=24", "--seed=9"])
        yield runs


def test_every_seed_gets_a_folder_and_the_flags_of_all(started, tmp_path, capsys):
    assert sweep.run(tmp_path) == 0
    for seed, arguments in zip((1, 2), started, strict=True):
        own = {f"--seed={seed}", f"--workdir={tmp_path}/seed_{seed}", "--dataset=rows.tsv"}
        assert own <= set(arguments) and "--d_ff=24" in arguments
        assert not [a for a in arguments if a.startswith("--seeds") or a == "--seed=9"]
    (group,) = json.loads((tmp_path / "sweep.json").read_text())
    assert group["spread"] == [0.5, 0.7] and group["median"] == pytest.approx(0.6)
    assert set(group["runs"]) == {"seed_1", "seed_2"}
    assert "0.6000  0.5000  0.7000" in capsys.readouterr().out


def test_one_that_is_interrupted_ends_the_sweep_which_goes_on_later(started, monkeypatch, tmp_path):
    run_one = sweep._run_one
    codes = iter([0, 75, 0, 0])
    monkeypatch.setattr(sweep, "_run_one", lambda a: next(codes) or run_one(a))
    assert sweep.run(tmp_path) == 75
    assert len(started) == 1 and not (tmp_path / "sweep.json").exists()
    assert sweep.run(tmp_path) == 0
    assert len(started) == 3 and (tmp_path / "sweep.json").exists()


def test_rates_times_seeds(started, tmp_path):
    FLAGS.learning_rates = ["1e-3", "1e-2"]
    folders = [folder.name for folder, _ in sweep.points(tmp_path)]
    assert folders == [
        f"learning_rate_{rate}-seed_{seed}" for rate in ("0.001", "0.01") for seed in (1, 2)
    ]


def test_a_run_gets_the_signals_of_the_sweep(monkeypatch):
    before, sent, commands = signal.getsignal(signal.SIGTERM), [], []

    class Process:
        def __init__(self, command):
            commands.append(command)

        def send_signal(self, number):
            sent.append(number)

        def wait(self):
            signal.raise_signal(signal.SIGTERM)
            return 75

    monkeypatch.setattr(subprocess, "Popen", Process)
    assert sweep._run_one(["--seed=1"]) == 75
    assert sent == [signal.SIGTERM] and signal.getsignal(signal.SIGTERM) == before
    assert commands[0][1:] == ["-m", "sparse_mixer_tf.train", "--seed=1"]
