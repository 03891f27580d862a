import json
import signal
import subprocess
import sys
import time

import pytest

from sparse_mixer_tf import launch


def test_every_worker_knows_all_addresses_and_its_own_number():
    configs = [json.loads(e["TF_CONFIG"]) for e in launch.environments(3)]
    addresses = {tuple(config["cluster"]["worker"]) for config in configs}
    assert len(addresses) == 1 and len(set(addresses.pop())) == 3
    assert [config["task"] for config in configs] == [
        {"type": "worker", "index": index} for index in range(3)
    ]


def test_one_worker_needs_no_cluster(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert "TF_CONFIG" not in launch.environments(1)[0]


def _fake_workers(monkeypatch, *scripts):
    left = list(scripts)

    def start(flags, environment):
        return subprocess.Popen(
            [sys.executable, "-c", left.pop(0), *flags],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    monkeypatch.setattr(launch, "_start", start)


def test_what_workers_print_is_marked_and_flags_are_passed_on(monkeypatch, capsys):
    echo = "import sys; print('flags', *sys.argv[1:])"
    _fake_workers(monkeypatch, echo, echo)
    assert launch.main(["--workers=2", "--", "--seed=1", "--task=pretrain"]) == 0
    lines = sorted(capsys.readouterr().out.splitlines())
    assert lines == [f"[worker {i}] flags --seed=1 --task=pretrain" for i in (0, 1)]


@pytest.mark.parametrize(
    ("end", "code", "told"),
    [
        ("import os; os.kill(os.getpid(), 9)", 1, "worker 1 was killed by SIGKILL"),
        ("raise SystemExit(1)", 1, "worker 1 failed, the others were stopped; run the same"),
        ("raise SystemExit(2)", 2, "worker 1 failed, the others were stopped\n"),
    ],
)
def test_one_that_fails_ends_the_others(monkeypatch, capsys, end, code, told):
    waiting = "import time; time.sleep(60)"
    _fake_workers(monkeypatch, waiting, end)
    began = time.monotonic()
    assert launch.main(["--workers=2", "--"]) == code
    assert time.monotonic() - began < 30
    assert told in capsys.readouterr().out


def test_one_that_does_not_hear_is_killed(monkeypatch, capsys):
    monkeypatch.setattr(launch, "_GRACE_SECONDS", 0.2)
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "print('ready', flush=True); time.sleep(60)"
    )
    _fake_workers(monkeypatch, deaf, "import time; time.sleep(1); raise SystemExit(1)")
    assert launch.main(["--workers=2", "--"]) == 1


def test_workers_that_were_interrupted_ask_to_be_run_again(monkeypatch):
    _fake_workers(monkeypatch, "raise SystemExit(75)", "raise SystemExit(75)")
    assert launch.main(["--workers=2", "--"]) == 75


def test_signals_are_passed_on_and_handlers_come_back(monkeypatch):
    before = signal.getsignal(signal.SIGTERM)
    sent = []

    class Process:
        def send_signal(self, number):
            sent.append(number)

    with launch._signals_to([Process(), Process()]):
        signal.raise_signal(signal.SIGTERM)
    assert sent == [signal.SIGTERM] * 2
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize(
    "arguments", [["--workers=0"], ["--workers=x"], [], ["--worker=2", "train"]]
)
def test_a_mistake_ends_with_code_2(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        launch.main(arguments)
    assert ended.value.code == 2
