"""SIGKILL at every instant of writing checkpoints: before each line of the code that writes them.

For every line a process is forked, which writes a second checkpoint, drops the first, and kills
itself there. What a fresh start then finds must be whole, and the newest that was finished.
"""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from tests.programs.conftest import ROOT

# Forked without TensorFlow, whose threads would not come along.
SCRIPT = """
import inspect, json, os, shutil, signal, sys
import numpy as np
from sparse_mixer_tf.training import checkpoint

class Variable:
    shape = (3,)
    def __init__(self): self.value = np.zeros(3, "float32")
    def numpy(self): return self.value
    def assign(self, value): self.value = np.array(value)

def checkpoints(folder):
    return checkpoint.Checkpoints(folder, {"model/weight": Variable()}, keep=1)

def save(made, step):
    made.variables["model/weight"].assign(np.full(3, step, "float32"))
    made.save(step, {}, score=1.0 / step)

sources = {inspect.getsourcefile(m) for m in (checkpoint, shutil)}
top, left, found = sys.argv[1], 0, []
while True:
    folder = os.path.join(top, str(left))
    save(checkpoints(folder), 1)
    child = os.fork()
    if child == 0:
        def trace(frame, event, argument, left=[left]):
            if frame.f_code.co_filename not in sources:
                return None
            if event == "line":
                left[0] -= 1
                if left[0] < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            return trace
        made = checkpoints(folder)
        sys.settrace(trace)
        save(made, 2)
        sys.settrace(None)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    there = sorted(os.listdir(folder))
    fresh = checkpoints(folder)
    step = fresh.restore_latest()["step"]
    value = fresh.variables["model/weight"].numpy().tolist()
    # And it goes on from there.
    save(fresh, 3)
    after = checkpoints(folder).restore_latest()["step"]
    found.append([there, step, value, after, sorted(os.listdir(folder))])
    shutil.rmtree(folder)
    if status == 0:
        break
    assert os.WTERMSIG(status) == signal.SIGKILL
    left += 1
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path_factory.mktemp("killed"))],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_instant_was_tried(found):
    assert len(found) > 100
    steps = [step for _, step, *_ in found]
    assert steps == sorted(steps) and set(steps) == {1, 2}


def test_what_was_finished_is_whole_and_is_what_was_written(found):
    for there, step, value, *_ in found:
        assert value == np.full(3, step).tolist()
        # Nothing finished is passed over.
        assert step == max(int(name) for name in there if name.isdigit())


def test_the_next_start_goes_on_and_leaves_no_rubbish(found):
    for *_, after, left in found:
        assert after == 3 and left == ["00000003"], left
