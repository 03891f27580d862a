"""BUILD is what the sources say; read here as the Python subset that it is."""

import ast
import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
_spec = importlib.util.spec_from_file_location("build_file", ROOT / ".ci/build_file.py")
build_file = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(build_file)


def _rules() -> dict[str, dict]:
    calls = [node.value for node in ast.parse((ROOT / "BUILD").read_text()).body[2:]]
    rules = {}
    for call in calls:
        values = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
        assert values["name"] not in rules
        rules[values["name"]] = values | {"rule": call.func.id}
    return rules


def test_every_source_stands_in_exactly_one_target():
    listed = [source for rule in _rules().values() for source in rule["srcs"]]
    assert sorted(listed) == build_file.sources()


def test_dependencies_are_the_imports():
    assert (ROOT / "BUILD").read_text() == build_file.build_text(), "run `make build`"


def test_there_is_no_cycle_and_every_dependency_exists():
    rules, done = _rules(), set()

    def visit(name, path):
        assert name not in path, " -> ".join([*path, name])
        if name not in done:
            for dependency in rules[name].get("deps", []):
                visit(dependency.removeprefix(":"), [*path, name])
            done.add(name)

    for name in rules:
        visit(name, [])


@pytest.mark.parametrize("program", ["sparse_mixer_tf_train", "pipelines_prepare"])
def test_programs_are_binaries(program):
    assert _rules()[program]["rule"] == "py_binary"
