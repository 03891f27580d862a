import pytest
import tensorflow as tf

from sparse_mixer_tf.settings import RunSettings, SettingsError
from sparse_mixer_tf.training.profiler import Profiler


def _traced(tmp_path, steps, ran) -> list[int]:
    """The steps after which a trace file is there."""
    profiler, seen = Profiler(tmp_path, steps), []
    for step in ran:
        profiler.before(step)
        tf.matmul(tf.ones((8, 8)), tf.ones((8, 8)))
        seen += [step] if list(tmp_path.rglob("*.xplane.pb")) else []
    profiler.finish()
    return seen


def test_a_trace_of_the_steps_is_written_when_the_last_is_done(tmp_path):
    assert _traced(tmp_path, "2:4", range(6)) == [4, 5]


def test_a_run_that_ends_first_leaves_its_trace_too(tmp_path):
    assert _traced(tmp_path, "1:9", range(3)) == []
    assert len(list(tmp_path.rglob("*.xplane.pb"))) == 1


@pytest.mark.parametrize(("steps", "ran"), [(None, range(3)), ("2:4", range(3, 6))])
def test_without_steps_or_behind_the_first_nothing_is_traced(tmp_path, steps, ran):
    _traced(tmp_path, steps, ran)
    assert not list(tmp_path.rglob("*.xplane.pb"))


@pytest.mark.parametrize("steps", ["5", "5:", "a:b", "7:7", "9:3", "-1:4"])
def test_what_are_no_two_steps_in_order_is_refused(steps):
    with pytest.raises(SettingsError, match=f"--profile={steps} is not START:STOP"):
        RunSettings(profile=steps)
