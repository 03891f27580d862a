"""Effects of importing the package on the process."""

import os
import platform
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CHOICE = "TF_ENABLE_ONEDNN_OPTS"
SEEN = f"""
import os, sys
import sparse_mixer_tf
print(os.environ.get({CHOICE!r}), "tensorflow" in sys.modules)
"""


def seen_after_import(**environment: str) -> list[str]:
    kept = {name: value for name, value in os.environ.items() if name != CHOICE}
    command = [sys.executable, "-c", SEEN]
    return subprocess.check_output(
        command, cwd=ROOT, env=kept | environment, text=True, timeout=60
    ).split()


def test_on_x86_tensorflow_is_to_multiply_with_onednn_and_is_not_imported_yet():
    is_x86 = platform.machine() in ("x86_64", "AMD64")
    assert seen_after_import() == ["1" if is_x86 else "None", "False"]


def test_who_has_chosen_otherwise_keeps_the_choice():
    assert seen_after_import(**{CHOICE: "0"}) == ["0", "False"]


def test_xla_may_take_what_lies_between_products_and_flags_of_the_users_own_count():
    seen = (
        "import os, sparse_mixer_tf, importlib; importlib.reload(sparse_mixer_tf); "
        "print(os.environ['TF_XLA_FLAGS'])"
    )
    kept = {name: value for name, value in os.environ.items() if name != "TF_XLA_FLAGS"}
    ours = "--tf_xla_cpu_global_jit --tf_xla_ops_to_cluster=PW,RED,MISC"
    for given, expected in (({}, ours), ({"TF_XLA_FLAGS": "--x=1"}, f"{ours} --x=1")):
        command = [sys.executable, "-c", seen]
        printed = subprocess.check_output(
            command, cwd=ROOT, env=kept | given, text=True, timeout=60
        )
        assert printed.strip() == expected


def test_a_program_of_another_backend_starts_where_there_is_no_tensorflow():
    hidden = "import sys; sys.modules['tensorflow'] = None; sys.argv = ['-m']; import benchmarks"
    subprocess.run([sys.executable, "-c", hidden], cwd=ROOT, check=True, timeout=60)
