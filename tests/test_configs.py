"""Every flagfile stands for settings that work together."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# These stand behind another, or before it.
PARTS = {"brainformer", "brainformer_training", "brainformer_smoe_dropout"}
FILES = sorted(path for path in (ROOT / "configs").rglob("*.flags") if path.stem not in PARTS)
CHECK = """
import sys
from absl import flags
import sparse_mixer_tf.cli.flags as ours
flags.FLAGS(["check", *sys.argv[1:]])
print(ours.model_settings(), ours.training_settings(), ours.run_settings(), ours.data_settings())
"""


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_flagfile_is_short_says_what_it_is_and_works(path):
    lines = path.read_text().splitlines()
    assert len(lines) <= 35 and lines[0].startswith("# ")
    arguments = [f"--flagfile={path.relative_to(ROOT)}"]
    dropout = "--flagfile=configs/brainformer_smoe_dropout.flags"
    for more in ([], [dropout]) if "brainformer" in path.stem else ([],):
        done = subprocess.run(
            [sys.executable, "-c", CHECK, *arguments, *more],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert ("frozen_random" in done.stdout) == bool(more)
