"""Every flagfile stands for settings that work together."""

from pathlib import Path

import pytest
from absl import flags
from absl.testing import flagsaver

import sparse_mixer_tf.cli.flags as package_flags
from sparse_mixer_tf.cli.app import last_one_counts

ROOT = Path(__file__).resolve().parents[1]
# These stand behind another, or before it.
PARTS = {"brainformer", "brainformer_training", "brainformer_smoe_dropout"}
FILES = sorted(path for path in (ROOT / "configs").rglob("*.flags") if path.stem not in PARTS)


@pytest.fixture
def parse(monkeypatch):
    """Return what the settings of some arguments are, as one text."""
    monkeypatch.chdir(ROOT)

    def parse(*arguments) -> str:
        flags.FLAGS.unparse_flags()
        found = flags.FLAGS.read_flags_from_files(list(arguments), False)
        flags.FLAGS(last_one_counts(["check", *found]))
        parts = ("model_settings", "training_settings", "run_settings", "data_settings")
        return " ".join(str(getattr(package_flags, part)()) for part in parts)

    with flagsaver.flagsaver():
        yield parse
        flags.FLAGS(["check"])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_flagfile_is_short_says_what_it_is_and_works(path, parse):
    lines = path.read_text().splitlines()
    assert len(lines) <= 35 and lines[0].startswith("# ")
    arguments = [f"--flagfile={path.relative_to(ROOT)}"]
    dropout = "--flagfile=configs/brainformer_smoe_dropout.flags"
    for more in ([], [dropout]) if "brainformer" in path.stem else ([],):
        assert ("frozen_random" in parse(*arguments, *more)) == bool(more)
