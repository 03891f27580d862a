import subprocess
import sys

import pytest
import tensorflow as tf

from sparse_mixer_tf.layers.tracing import cores
from sparse_mixer_tf.settings import RunSettings, SettingsError
from sparse_mixer_tf.training.distributed.cpu_partition import (
    check_parts_at_once,
    in_parts_that_fit,
    share_out_cores,
)

PROGRAM = """
import sys
from sparse_mixer_tf.training.distributed.cpu_partition import share_out_cores
import tensorflow as tf

share_out_cores(int(sys.argv[1]))
tf.zeros(()).numpy()
# A second run of the same process shares out alike.
share_out_cores(int(sys.argv[1]))
threads = tf.config.threading
print(threads.get_inter_op_parallelism_threads(), threads.get_intra_op_parallelism_threads())
"""


@pytest.mark.parametrize("parts", [1, 2, 1000])
def test_each_part_has_its_share_of_the_cores(parts):
    command = [sys.executable, "-c", PROGRAM, str(parts)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    # 0 is TensorFlow's own choice.
    expected = [0, 0] if parts == 1 else [parts, max(1, cores() // parts)]
    assert [int(number) for number in shown] == expected


def test_cores_that_are_shared_out_already_are_named():
    tf.zeros(()).numpy()
    with pytest.raises(SettingsError, match="--parts_at_once=3 comes too late"):
        share_out_cores(3)


@pytest.mark.parametrize("device", ["gpu", "tpu"])
def test_elsewhere_a_batch_stays_whole_and_that_is_said(device):
    said = []
    asked, whole = RunSettings(parts_at_once=2), RunSettings(parts_at_once=1)
    assert in_parts_that_fit(asked, device, said.append) == whole
    assert said == [
        f"--parts_at_once=2 shares out a CPU's cores; on this {device} the batch stays whole"
    ]
    assert in_parts_that_fit(whole, device, said.append) == whole
    assert in_parts_that_fit(asked, "cpu", said.append) == asked and len(said) == 1


@pytest.mark.parametrize(
    ("jit_compile", "expert_parallel", "message"),
    [
        ("true", 1, "does not fit --jit_compile=true"),
        ("auto", 2, "does not fit --expert_parallel=2"),
    ],
)
def test_what_parts_at_once_do_not_fit(jit_compile, expert_parallel, message):
    with pytest.raises(SettingsError, match=message):
        check_parts_at_once(2, jit_compile, expert_parallel)
    check_parts_at_once(1, jit_compile, expert_parallel)


@pytest.mark.parametrize("jit_compile", ["auto", "false"])
def test_what_they_fit(jit_compile):
    check_parts_at_once(2, jit_compile, 1)
