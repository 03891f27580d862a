import numpy as np
import pytest
import tensorflow as tf

from sparse_mixer_tf.settings import RunSettings
from sparse_mixer_tf.training.stability import TrainingStopped, Watch, judge, remember


def _history(losses, norms=None):
    history = tf.zeros(5)
    for loss, norm in zip(losses, norms or [1.0] * len(losses), strict=True):
        history = remember(history, tf.constant(loss), tf.constant(norm))
    return history


def _noise(steps, spread=0.1, seed=0):
    return np.exp(np.random.RandomState(seed).randn(steps) * spread).astype("float32").tolist()


def test_the_history_has_mean_and_variance_of_the_logarithms():
    losses = _noise(60)
    history = _history(losses, norms=losses[::-1]).numpy()
    assert history[0] == 60
    np.testing.assert_allclose(history[1:3], np.mean(np.log(losses)), atol=1e-5)
    np.testing.assert_allclose(history[3:5], np.var(np.log(losses)), rtol=1e-3)


@pytest.mark.parametrize(("loss", "norm"), [(3.0, 1.0), (1.0, 3.0)])
def test_loss_or_norm_far_above_the_steps_before_is_a_spike(loss, norm):
    history = _history(_noise(80), _noise(80, seed=1))
    assert bool(judge(history, tf.constant(loss), tf.constant(norm)).spike)
    assert not bool(judge(history, tf.constant(1 / loss), tf.constant(1 / norm)).spike)
    assert not bool(judge(history, tf.constant(1.2), tf.constant(1.2)).spike)


def test_a_noisy_run_has_higher_spikes_than_an_even_one():
    even, noisy = _history([1.0] * 80), _history(_noise(80, spread=0.5))
    loss = tf.constant(3.0)
    assert bool(judge(even, loss, tf.constant(1.0)).spike)
    assert not bool(judge(noisy, loss, tf.constant(1.0)).spike)
    # Nor is a tenth more, in a run without any noise.
    assert not bool(judge(even, tf.constant(1.1), tf.constant(1.0)).spike)


def test_nothing_is_a_spike_in_the_first_steps():
    assert not bool(judge(_history([1.0] * 49), tf.constant(99.0), tf.constant(1.0)).spike)
    assert bool(judge(_history([1.0] * 50), tf.constant(99.0), tf.constant(1.0)).spike)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_none_is_not_finite_and_no_spike(value):
    for loss, norm in ((value, 1.0), (1.0, value)):
        verdict = judge(_history([1.0] * 60), tf.constant(loss), tf.constant(norm))
        assert not bool(verdict.finite) and not bool(verdict.spike)


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
