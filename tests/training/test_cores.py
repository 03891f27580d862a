import subprocess
import sys

import pytest
import tensorflow as tf

from sparse_mixer_tf.layers.device import cores
from sparse_mixer_tf.settings import SettingsError
from sparse_mixer_tf.training.cores import check_parts_at_once, share_out_cores

PROGRAM = """
import sys
from sparse_mixer_tf.training.cores import share_out_cores
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


@pytest.mark.parametrize(
    ("device", "jit_compile", "expert_parallel", "message"),
    [
        ("gpu", "auto", 1, "shares out a CPU's cores, but this is a gpu"),
        ("tpu", "auto", 1, "but this is a tpu"),
        ("cpu", "true", 1, "does not fit --jit_compile=true"),
        ("cpu", "auto", 2, "does not fit --expert_parallel=2"),
    ],
)
def test_what_parts_at_once_do_not_fit(device, jit_compile, expert_parallel, message):
    with pytest.raises(SettingsError, match=message):
        check_parts_at_once(2, device, jit_compile, expert_parallel)
    check_parts_at_once(1, device, jit_compile, expert_parallel)


@pytest.mark.parametrize("jit_compile", ["auto", "false"])
def test_what_they_fit(jit_compile):
    check_parts_at_once(2, "cpu", jit_compile, 1)
