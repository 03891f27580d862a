"""A machine that is about to be taken away."""

import time
from functools import partial

import pytest

from sparse_mixer_tf.training import preemption
from sparse_mixer_tf.training.preemption import MaintenanceWatch, notice
from tests.training.test_loop import Run

NOTICES = [("maintenance-event", "TERMINATE_ON_HOST_MAINTENANCE"), ("preempted", "TRUE")]


@pytest.mark.parametrize(("name", "value"), NOTICES)
def test_what_takes_the_machine_away_is_a_notice(metadata, name, value):
    assert notice() is None
    metadata.values[name] = value
    assert notice() == f"{name}={value}"


def test_a_migration_is_none(metadata):
    metadata.values["maintenance-event"] = "MIGRATE_ON_HOST_MAINTENANCE"
    assert notice() is None


@pytest.mark.parametrize(("name", "value"), NOTICES)
def test_a_notice_ends_the_step_with_a_checkpoint(metadata, tmp_path, name, value):
    run = Run(tmp_path)
    listen = partial(MaintenanceWatch, say=run.said.append, every_seconds=0.01)
    train_step, interruptions = run._step, []

    def listening(request):
        interruptions.append(request.__self__)
        return listen(request)

    def step(batch, step):
        if step == 2:
            # Announced while the third step runs: it is the last one.
            metadata.values[name] = value
            _wait_for(lambda: interruptions[0].requested)
        return train_step(batch, step)

    run._step = step
    assert not run.train(steps=10**6, listen=listening)
    assert run.checkpoints.latest_manifest()["step"] == 3
    assert not run.checkpoints.latest_manifest()["complete"]
    assert f"{name}={value} received at step 3" in run.said[-1]


def test_a_server_that_fails_now_and_then_is_asked_again(metadata, monkeypatch):
    answers = iter([None, OSError("restarting"), "preempted=TRUE"])

    def answer():
        value = next(answers)
        if isinstance(value, OSError):
            raise value
        return value

    monkeypatch.setattr(preemption, "notice", answer)
    heard, said = [], []
    with MaintenanceWatch(heard.append, said.append, every_seconds=0.01):
        _wait_for(lambda: heard)
    assert heard == ["preempted=TRUE"] and not said


def test_where_no_server_answers_nothing_is_watched_and_that_is_said(monkeypatch):
    # Nobody listens on the port of discarding.
    monkeypatch.setenv("GCE_METADATA_HOST", "127.0.0.1:9")
    heard, said = [], []
    watch = MaintenanceWatch(heard.append, said.append, every_seconds=0.01)
    with watch:
        _wait_for(lambda: said)
    assert not watch._thread.is_alive() and not heard
    assert "maintenance notices are not watched: no metadata server" in said[0]


def _wait_for(condition, seconds=30.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)
