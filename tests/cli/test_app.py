"""The end of programs."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_ctrl_c_is_one_line_and_no_stack_trace():
    program = (
        "import os, signal\n"
        "from sparse_mixer_tf.cli import app\n"
        "app.run(lambda: os.kill(os.getpid(), signal.SIGINT))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "interrupted" and "Traceback" not in done.stderr
