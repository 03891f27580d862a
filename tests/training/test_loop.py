from pathlib import Path

import numpy as np
import pytest

from sparse_mixer_tf.settings import RunSettings
from sparse_mixer_tf.training.checkpoint import Checkpoints
from sparse_mixer_tf.training.loop import Loop


class Variable:
    shape = (1,)

    def numpy(self):
        return np.zeros(1, "float32")

    def assign(self, value):
        pass


def _run(workdir: Path, scores: dict[int, float], patience: int | None, steps=12, start=0):
    said = []
    checkpoints = Checkpoints(workdir / "checkpoints", {"model/v": Variable()})
    workdir.mkdir(exist_ok=True)
    complete = Loop(
        workdir=workdir,
        settings=RunSettings(eval_every=2, checkpoint_every=100, log_every=1),
        start_step=start,
        train_steps=steps,
        batches=iter(range(100)),
        train_step=lambda batch, step: {"loss": 1.0, "gradient_norm": 1.0, "learning_rate": 0.1},
        evaluate=lambda step: ({"loss": 0.0, "error": scores[step]}, []),
        checkpoints=checkpoints,
        tokens_per_step=1,
        facts={},
        better="error",
        patience=patience,
        say=said.append,
    ).run()
    return complete, checkpoints, said


SCORES = dict(zip(range(0, 13, 2), (9, 5, 4, 6, 4, 3, 2), strict=True))


def test_patience_ends_a_run_after_so_many_evaluations_without_a_new_best(tmp_path):
    complete, checkpoints, said = _run(tmp_path / "run", SCORES, patience=2)
    assert complete
    assert checkpoints.latest_manifest()["step"] == 8
    assert checkpoints.latest_manifest()["complete"] and checkpoints.best()["step"] == 4
    assert any("no better since step 4" in line for line in said)


def test_without_patience_a_run_goes_to_its_last_step(tmp_path):
    complete, checkpoints, _ = _run(tmp_path / "run", SCORES, patience=None)
    assert complete
    assert checkpoints.latest_manifest()["step"] == 12 == checkpoints.best()["step"]


def test_a_run_that_continues_stops_where_the_undisturbed_one_did(tmp_path):
    _run(tmp_path / "run", SCORES, patience=2, steps=6)
    complete, checkpoints, _ = _run(tmp_path / "run", SCORES, patience=2, start=6)
    assert complete and checkpoints.latest_manifest()["step"] == 8


@pytest.mark.parametrize("start", [12, 13])
def test_a_run_that_is_at_its_end_trains_no_step(tmp_path, start):
    complete, checkpoints, _ = _run(tmp_path / "run", SCORES, patience=None, start=start)
    assert complete and checkpoints.steps() == []
