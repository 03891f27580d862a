import pytest

from sparse_mixer_tf.training.retry import with_retries


class Failing:
    def __init__(self, failures, error=None):
        self.failures, self.calls = failures, 0
        self.error = error or OSError(5, "input/output error")

    def __call__(self):
        self.calls += 1
        if self.calls <= self.failures:
            raise self.error
        return "done"


def test_it_tries_again_and_waits_longer_each_time():
    waited = []
    assert with_retries(Failing(3), "reading", sleep=waited.append) == "done"
    assert waited == [0.5, 1.0, 2.0]


def test_the_last_failure_is_raised():
    action = Failing(9)
    with pytest.raises(OSError, match="input/output"):
        with_retries(action, "reading", attempts=3, sleep=lambda seconds: None)
    assert action.calls == 3


def test_what_is_not_there_is_not_tried_again():
    action = Failing(1, FileNotFoundError("no"))
    with pytest.raises(FileNotFoundError):
        with_retries(action, "reading", sleep=lambda seconds: None)
    assert action.calls == 1
