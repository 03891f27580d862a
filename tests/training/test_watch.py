import numpy as np
import pytest

from sparse_mixer_tf.settings import RunSettings
from sparse_mixer_tf.training.watch import TrainingStopped, Watch

NAMES = ["model/embedding/kernel", "model/moe_1/router", "model/moe_1/bias", "model/head/kernel"]


def _row(applied=True, spike=False, loss=1.0, squares=(1.0, 1.0, 1.0, 1.0)):
    norm = np.sqrt(np.sum(squares))
    values = {"applied": float(applied), "spike": float(spike), "loss": loss}
    return values | {"gradient_norm": norm, "gradient_squares": np.array(squares)}


BAD = _row(applied=False, squares=(1.0, np.nan, np.inf, 1.0))
SPIKE = _row(applied=False, spike=True, loss=90.0)


def _watch(**settings):
    said = []
    return Watch(RunSettings(**settings), NAMES, said.append), said


def test_the_step_and_the_sublayer_of_a_gradient_that_is_no_number_are_named():
    with pytest.raises(TrainingStopped, match=r"step 8: .* not finite in model/moe_1 \(2 of 4"):
        _watch()[0].examine(7, [_row(), BAD, _row()], can_roll_back=True)


def test_a_loss_that_is_no_number_leaves_no_gradient_finite():
    everywhere = _row(applied=False, loss=np.nan, squares=(np.nan,) * 4)
    assert "no gradient finite" in _watch()[0].describe(3, everywhere)


def test_skips_in_a_row_are_bounded_and_an_applied_step_ends_the_row():
    watch, said = _watch(on_nonfinite="skip", max_skips_in_a_row=2)
    assert watch.examine(1, [BAD, BAD, _row(), BAD, BAD], can_roll_back=True) is None
    assert len(said) == 4
    with pytest.raises(TrainingStopped, match="--max_skips_in_a_row=2"):
        watch.examine(6, [BAD], can_roll_back=True)


def test_the_first_spike_calls_for_the_rollback():
    watch, said = _watch(on_spike="rollback")
    assert watch.examine(11, [_row(), SPIKE, SPIKE], can_roll_back=True) == 12
    assert watch.rollbacks == 1 and "far above the steps before" in said[0]
    assert watch.examine(11, [_row(), SPIKE], can_roll_back=False) is None
    assert "not applied" in said[1]
