import pytest

from sparse_mixer_tf.training.console import Stopwatch, duration, evaluation_line, progress_line


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (725, "12:05"), (12_000, "3:20:00")]
)
def test_durations_read_as_a_clock(seconds, text):
    assert duration(seconds) == text


def test_a_progress_line_has_the_losses_apart_and_what_is_left():
    metrics = {
        "loss": 6.3,
        "masked_lm_loss": 5.6,
        "order_loss": 0.7,
        "balance_loss": 1.0,
        "router_z_loss": 2.0,
        "masked_lm_accuracy": 0.146,
        "learning_rate": 8e-4,
        "gradient_norm": 1.234,
        "tokens_per_second": 41_000.4,
        "data_wait_fraction": 0.003,
        "dropped_fraction": 0.021,
    }
    assert progress_line(400, 1000, metrics, 200) == (
        "step 400/1,000 · loss 6.300 (masked 5.600, order 0.700, balance 1.000, router z 2.000) · "
        "masked accuracy 14.6% · lr 8.0e-04 · |g| 1.23 · 41,000 tokens/s · data wait 0.3% · "
        "dropped 2.1% · ETA 3:20"
    )


def test_an_evaluation_line_leaves_out_what_is_no_number():
    metrics = {"loss": 1.0, "masked_lm_accuracy": 0.5, "expert_load": {"a": [0.5, 0.5]}}
    assert evaluation_line(7, metrics) == (
        "held out after step 7 · loss 1.000 · masked accuracy 50.0%"
    )


def test_training_time_leaves_out_compiling_evaluations_and_checkpoints():
    now = [0.0]
    stopwatch = Stopwatch(lambda: now[0])
    for name, seconds in (("data", 1), ("compiling", 10), ("step", 4), ("evaluation", 100)):
        with stopwatch.part(name):
            now[0] += seconds
    seconds = stopwatch.read()
    assert seconds["training"] == 5 and seconds["data"] == 1
    now[0] += 3
    assert stopwatch.read() == {"training": 3}
