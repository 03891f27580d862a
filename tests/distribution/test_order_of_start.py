"""A TPU forgets what was made before it was initialised, and seeding can destroy a tokenizer."""

import ast

from tests.programs.conftest import ROOT

# In `train()`, from first to last.
ORDER = ("make_strategy", "set_random_seed", "open_data", "build", "restore_latest")


def _calls(source: str) -> list[str]:
    """Names that are called in the function `train`, as they stand there."""
    (function,) = (
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef) and node.name == "train"
    )
    calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
    calls.sort(key=lambda call: (call.lineno, call.col_offset))
    return [getattr(call.func, "attr", getattr(call.func, "id", "")) for call in calls]


def test_devices_come_first_then_the_seed_then_what_makes_a_tokenizer():
    calls = _calls((ROOT / "sparse_mixer_tf/train.py").read_text("utf-8"))
    assert [name for name in dict.fromkeys(calls) if name in ORDER] == list(ORDER)
    assert calls.count("make_strategy") == calls.count("set_random_seed") == 1
