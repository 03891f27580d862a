import errno
import threading
from functools import partial

import keras
import numpy as np
import pytest

from sparse_mixer_tf.training import checkpoint
from sparse_mixer_tf.training.async_checkpoint import Saver
from sparse_mixer_tf.training.checkpoint import CheckpointError, Checkpoints, named
from sparse_mixer_tf.training.retry import with_retries


@pytest.fixture
def weight():
    return keras.Variable(np.zeros(3, "float32"), name="weight")


@pytest.fixture
def checkpoints(tmp_path, weight):
    return Checkpoints(tmp_path, named({"model": [weight]}), keep=9)


def _saver(checkpoints):
    return Saver(checkpoints, retry=partial(with_retries, sleep=lambda seconds: None))


def test_training_goes_on_while_a_checkpoint_is_written(checkpoints, weight, monkeypatch):
    may_write, write = threading.Event(), checkpoint.save_file

    def slow(arrays, path):
        assert may_write.wait(10)
        write(arrays, path)

    monkeypatch.setattr(checkpoint, "save_file", slow)
    saver = _saver(checkpoints)
    weight.assign(np.full(3, 1.0))
    saver.save(1, {})
    # The next step, before the writing has begun.
    weight.assign(np.full(3, 2.0))
    assert checkpoints.steps() == []
    may_write.set()
    saver.finish()
    np.testing.assert_array_equal(checkpoints.arrays(1)["model/weight"], np.full(3, 1.0))


def _full_disk(monkeypatch, failures):
    write, left = checkpoint.save_file, [failures]

    def full(arrays, path):
        path.write_bytes(b"half of it")
        if left[0] > 0:
            left[0] -= 1
            raise OSError(errno.ENOSPC, "No space left on device")
        write(arrays, path)

    monkeypatch.setattr(checkpoint, "save_file", full)


def test_a_full_disk_keeps_the_old_checkpoint_and_the_run_goes_on(
    checkpoints, monkeypatch, tmp_path
):
    saver = _saver(checkpoints)
    saver.save(1, {})
    saver.wait()
    _full_disk(monkeypatch, failures=10**9)
    saver.save(2, {})
    saver.wait()
    assert checkpoints.steps() == [1]
    # Nothing of the failed one takes up room.
    assert [path.name for path in tmp_path.iterdir()] == ["00000001"]
    with pytest.raises(CheckpointError, match="No space left.* it continues at step 1"):
        saver.finish()


def test_a_full_disk_that_has_room_again_is_tried_again(checkpoints, monkeypatch):
    _full_disk(monkeypatch, failures=2)
    saver = _saver(checkpoints)
    saver.save(1, {})
    saver.finish()
    assert checkpoints.steps() == [1]


def test_the_next_checkpoint_makes_up_for_one_that_could_not_be_written(checkpoints, monkeypatch):
    _full_disk(monkeypatch, failures=5)
    saver = _saver(checkpoints)
    saver.save(1, {})
    saver.save(2, {})
    saver.finish()
    assert checkpoints.steps() == [2]


def test_a_mistake_while_writing_is_not_lost_with_its_thread(checkpoints, monkeypatch):
    def wrong(arrays, path):
        raise TypeError("not an array")

    monkeypatch.setattr(checkpoint, "save_file", wrong)
    saver = _saver(checkpoints)
    saver.save(1, {})
    with pytest.raises(TypeError, match="not an array"):
        saver.wait()


def test_a_process_that_is_not_the_chief_writes_nothing(checkpoints):
    saver = Saver(checkpoints, writes=False)
    saver.save(1, {})
    saver.finish()
    assert checkpoints.steps() == []
