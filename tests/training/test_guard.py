import os
import signal

import pytest

from sparse_mixer_tf.training.guard import Interruption, NonFiniteLoss, check_finite


def test_a_number_that_is_none_stops_with_the_step():
    check_finite(3, {"loss": 1.0, "gradient_norm": 2.0})
    for name in ("loss", "gradient_norm"):
        with pytest.raises(NonFiniteLoss, match=f"{name} is (nan|inf) at step 3"):
            check_finite(3, {"loss": 1.0, "gradient_norm": 2.0} | {name: float("inf")})


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_remembered_once_and_handlers_come_back(number):
    before = signal.getsignal(number)
    with Interruption() as interruption:
        assert interruption.requested is None
        os.kill(os.getpid(), number)
        assert interruption.requested == number.name
        # A second one would end the process at once.
        assert signal.getsignal(number) == before
    assert signal.getsignal(number) == before
