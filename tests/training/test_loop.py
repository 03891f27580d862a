import itertools
import json
import weakref
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from sparse_mixer_tf.settings import RunSettings
from sparse_mixer_tf.training.async_checkpoint import Saver
from sparse_mixer_tf.training.checkpoint import Checkpoints
from sparse_mixer_tf.training.loop import Loop
from sparse_mixer_tf.training.stability import TrainingStopped, Watch


class Total:
    """A model that is the sum of the batches it has met."""

    shape = ()

    def __init__(self):
        self.value = np.zeros((), "float32")

    def numpy(self):
        return self.value.copy()

    def assign(self, value):
        self.value = np.array(value)


class Run:
    """A loop over the batches 0, 1, 2, …; those in `bad` are not applied, being `kind`."""

    def __init__(self, workdir: Path, scores=None, bad=(), kind="spike", **settings):
        workdir.mkdir(exist_ok=True)
        self.total, self.said, self.scores = Total(), [], scores or {}
        self.bad, self.kind, self.workdir = bad, kind, workdir
        self.checkpoints = Checkpoints(workdir / "checkpoints", {"model/total": self.total}, keep=9)
        defaults = {"eval_every": 2, "checkpoint_every": 100, "log_every": 1}
        self.settings = RunSettings(**defaults | settings)

    def train(
        self, steps=12, patience=None, agree=bool, listen=nullcontext, batches=itertools.count
    ) -> bool:
        return Loop(
            workdir=self.workdir,
            settings=self.settings,
            start=self.checkpoints.restore_latest() or {"step": 0},
            train_steps=steps,
            batches=batches,
            train_step=self._step,
            evaluate=lambda step: ({"loss": 0.0, "error": self.scores.get(step, 9.0)}, []),
            saver=Saver(self.checkpoints),
            watch=Watch(self.settings, ["moe/kernel"], self.said.append),
            tokens_per_step=1,
            facts={},
            better="error",
            patience=patience,
            agree=agree,
            listen=listen,
            say=self.said.append,
        ).run()

    def _step(self, batch, step):
        failed = batch in self.bad
        if not failed:
            self.total.value = self.total.value + batch
        return {
            "loss": float("nan") if failed and self.kind == "nonfinite" else 1.0,
            "gradient_norm": 1.0,
            "learning_rate": 0.1,
            "applied": float(not failed),
            "spike": float(failed and self.kind == "spike"),
            "gradient_squares": np.ones(1),
        }


def test_a_batch_is_freed_before_the_next_is_asked_for(tmp_path):
    alive = []

    def batches(index):
        lent = None
        for number in itertools.count(index):
            alive.append(lent is not None and lent() is not None)
            batch = np.array(number)
            lent = weakref.ref(batch)
            yield batch
            del batch

    run = Run(tmp_path)
    assert run.train(batches=batches)
    assert run.total.value == sum(range(12)) and alive == [False] * 12


SCORES = dict(zip(range(0, 13, 2), (9, 5, 4, 6, 4, 3, 2), strict=True))


def test_patience_ends_a_run_after_so_many_evaluations_without_a_new_best(tmp_path):
    run = Run(tmp_path, SCORES)
    assert run.train(patience=2)
    assert run.checkpoints.latest_manifest()["step"] == 8
    assert run.checkpoints.latest_manifest()["complete"] and run.checkpoints.best()["step"] == 4
    assert any("no better since step 4" in line for line in run.said)


def test_without_patience_a_run_goes_to_its_last_step(tmp_path):
    run = Run(tmp_path, SCORES)
    assert run.train()
    assert run.checkpoints.latest_manifest()["step"] == 12 == run.checkpoints.best()["step"]
    assert run.total.value == sum(range(12))


def test_what_a_checkpoint_costs_the_loop_is_logged_with_the_steps_after_it(tmp_path):
    Run(tmp_path, checkpoint_every=3, eval_every=100).train(steps=7)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    stalls = {r["step"]: r["checkpoint_stall_seconds"] for r in lines if r["split"] == "train"
              and "checkpoint_stall_seconds" in r}  # fmt: skip
    assert list(stalls) == [4, 7] and all(seconds > 0 for seconds in stalls.values())


def test_a_run_that_continues_stops_where_the_undisturbed_one_did(tmp_path):
    Run(tmp_path, SCORES).train(steps=6, patience=2)
    run = Run(tmp_path, SCORES)
    assert run.train(patience=2) and run.checkpoints.latest_manifest()["step"] == 8


def test_a_damaged_best_checkpoint_is_made_again(tmp_path):
    # Saved because they are the best, and for no other reason.
    Run(tmp_path, SCORES).train(steps=6)
    run = Run(tmp_path, SCORES)
    state = tmp_path / "checkpoints/00000004/state.safetensors"
    whole = state.read_bytes()
    (tmp_path / "checkpoints/00000006").rename(tmp_path / "gone")
    state.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert run.train(steps=6)
    assert state.read_bytes() == whole
    assert run.checkpoints.best()["step"] == 4


def test_a_run_that_is_at_its_end_trains_no_step(tmp_path):
    Run(tmp_path).train(steps=6)
    run = Run(tmp_path)
    assert run.train(steps=6) and run.total.value == sum(range(6))
    assert not any(line.startswith("step") for line in run.said)


def test_a_request_to_stop_in_another_process_ends_the_step_with_a_checkpoint(tmp_path):
    asked = iter([False, False, False, True])
    run = Run(tmp_path)
    assert not run.train(agree=lambda here: next(asked))
    assert run.checkpoints.latest_manifest()["step"] == 4
    assert not run.checkpoints.latest_manifest()["complete"]


def test_a_step_that_was_skipped_is_told_and_left_out_of_the_means(tmp_path):
    run = Run(tmp_path, bad=[4], kind="nonfinite", on_nonfinite="skip", log_every=3)
    assert run.train(steps=6)
    assert run.total.value == sum(range(6)) - 4
    assert any("step 5: loss nan" in line and "not applied" in line for line in run.said)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    row = next(r for r in lines if r["split"] == "train" and r["step"] == 6)
    assert row["loss"] == 1.0 and row["steps_not_applied"] == 1


def test_a_loss_that_is_no_number_stops_before_anything_is_saved(tmp_path):
    run = Run(tmp_path, bad=[4], kind="nonfinite", log_every=100, checkpoint_every=2)
    with pytest.raises(TrainingStopped, match="step 5: loss nan"):
        run.train()
    assert run.checkpoints.steps()[-1] == 4


@pytest.mark.parametrize("log_every", [1, 5])
def test_a_rollback_goes_on_with_the_batches_after_the_spike(tmp_path, log_every):
    settings = {"on_spike": "rollback", "checkpoint_every": 4, "log_every": log_every}
    run = Run(tmp_path, bad=[6], **settings)
    assert run.train(steps=10)
    # Steps 1 to 4 are kept, batches 4, 5 and 6 passed over: 7 to 12 make steps 5 to 10.
    assert run.total.value == sum(range(4)) + sum(range(7, 13))
    assert run.checkpoints.latest_manifest()["passed_over"] == 3
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    steps = [r["step"] for r in lines if r["split"] == "train"]
    assert steps == sorted(set(steps)) and steps[-1] == 10


def test_a_run_killed_after_a_rollback_ends_as_the_undisturbed_one(tmp_path):
    settings = {"on_spike": "rollback", "checkpoint_every": 4}
    whole = Run(tmp_path / "whole", bad=[6], **settings)
    whole.train(steps=14)
    # The ninth step, and the look at the checkpoints before the rollback.
    asked = iter([False] * 9 + [True])
    first = Run(tmp_path / "cut", bad=[6], **settings)
    assert not first.train(steps=14, agree=lambda here: next(asked))
    second = Run(tmp_path / "cut", bad=[6], **settings)
    assert second.train(steps=14)
    assert second.total.value == whole.total.value


def test_rollbacks_are_counted_and_bounded_over_restarts(tmp_path):
    bad = [6, 9, 12, 15]
    run = Run(tmp_path, bad=bad, on_spike="rollback", checkpoint_every=4, max_rollbacks=2)
    with pytest.raises(TrainingStopped, match="--max_rollbacks=2"):
        run.train(steps=30)


def test_a_spike_before_the_first_checkpoint_is_skipped(tmp_path):
    run = Run(tmp_path, bad=[1], on_spike="rollback", eval_every=100)
    assert run.train(steps=4)
    assert run.total.value == 0 + 2 + 3
