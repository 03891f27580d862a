"""Files that a run reads may come from others: nothing in them is executed."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(
    path for folder in ("sparse_mixer_tf", "pipelines", "benchmarks")
    for path in (ROOT / folder).rglob("*.py")
)  # fmt: skip
# Formats that hold code, and what runs a string.
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "yaml"}
CALLS = {"eval", "exec", "__import__", "enable_unsafe_deserialization", "run_path", "Lambda"}
# Call: the keyword that it must be given, with this value.
SAFE = {
    "load_model": ("safe_mode", True),
    "extractall": ("filter", "data"),
    "extract": ("filter", "data"),
}


def offences(source: str) -> list[str]:
    """Lines that load code, or do not say that they must not."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name.split(".")[0] for alias in node.names]
            found += [f"{node.lineno}: import {name}" for name in names if name in MODULES]
        elif isinstance(node, ast.ImportFrom):
            if (node.module or "").split(".")[0] in MODULES:
                found.append(f"{node.lineno}: from {node.module}")
        elif isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            owner = getattr(getattr(node.func, "value", None), "id", "")
            given = {k.arg: getattr(k.value, "value", None) for k in node.keywords}
            if name in CALLS and owner != "re":
                found.append(f"{node.lineno}: {name}()")
            if owner in ("np", "numpy") and name in ("load", "save", "savez"):
                if given.get("allow_pickle") is not False:
                    found.append(f"{node.lineno}: {owner}.{name} without allow_pickle=False")
            elif name in SAFE:
                keyword, value = SAFE[name]
                if given.get(keyword) != value:
                    found.append(f"{node.lineno}: {name} without {keyword}={value!r}")
            if given.get("safe_mode") is False or given.get("allow_pickle") is True:
                found.append(f"{node.lineno}: {name} made unsafe")
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_source_loads_code(path):
    assert offences(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from joblib import load",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "keras.models.load_model(path)",
        "keras.saving.load_model(path, safe_mode=False)",
        "archive.extractall(folder)",
        "eval(text)",
        "keras.layers.Lambda(f)",
    ],
)
def test_what_loads_code_is_found(line):
    assert offences(line) != []


@pytest.mark.parametrize(
    "line",
    [
        "np.load(path, allow_pickle=False)",
        "keras.saving.load_model(path, safe_mode=True)",
        "json.loads(text)",
        "load_file(path)",
    ],
)
def test_what_is_safe_is_left_alone(line):
    assert offences(line) == []
