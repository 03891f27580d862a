"""Every flagfile stands for settings that work together."""

from pathlib import Path

import pytest

from tests.flags_in_process import settings_of

ROOT = Path(__file__).resolve().parents[1]
# These stand behind another, or before it.
PARTS = {"brainformer", "brainformer_training", "brainformer_smoe_dropout"}
FILES = sorted(path for path in (ROOT / "configs").rglob("*.flags") if path.stem not in PARTS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_flagfile_is_short_says_what_it_is_and_works(path):
    lines = path.read_text().splitlines()
    assert len(lines) <= 35 and lines[0].startswith("# ")
    dropout = "--flagfile=configs/brainformer_smoe_dropout.flags"
    for more in ([], [dropout]) if "brainformer" in path.stem else ([],):
        settings = settings_of([f"--flagfile={path.relative_to(ROOT)}", *more], ROOT)
        assert ("frozen_random" in settings) == bool(more)
