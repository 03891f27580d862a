import os
import signal

import pytest

from sparse_mixer_tf.training.preemption import Interruption


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
