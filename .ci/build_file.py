"""Writes BUILD from the sources and their imports: `python .ci/build_file.py`, or `make build`.

One library a folder with the folders inside it, one a module at the top of the package, one binary
a program, one test a test file. Third-party packages come from the Python environment
(requirements.txt).
"""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("pipelines", "sparse_mixer_tf", "benchmarks", "tests")
HEADER = '''"""Every source once, dependencies as imported. Written by `make build`; do not edit."""

package(default_visibility = ["//visibility:public"])
'''


def sources(root: Path = ROOT) -> list[str]:
    """Every Python file of the project, by path."""
    return sorted(
        str(path.relative_to(root)) for folder in FOLDERS for path in (root / folder).rglob("*.py")
    )


def imported_modules(root: Path, source: str) -> set[str]:
    """Dotted names that a file imports anywhere, `from a import b` giving both a and a.b."""
    found = set()
    for node in ast.walk(ast.parse((root / source).read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def is_program(root: Path, source: str) -> bool:
    return '__name__ == "__main__"' in (root / source).read_text()


def target_of(root: Path, source: str) -> tuple[str, str]:
    """The rule and the target's name that hold a source."""
    path = Path(source)
    name = str(path.with_suffix("")).replace("/", "_")
    if path.name.startswith("test_"):
        return "py_test", name
    if is_program(root, source):
        return "py_binary", name
    if path.parts[0] == "sparse_mixer_tf" and len(path.parts) == 2:
        return "py_library", name.removesuffix("___init__")
    # The `__init__` of a folder imports the folders inside it: one library, or a circle.
    return "py_library", "_".join(path.parent.parts[:2])


def targets(root: Path = ROOT) -> dict[str, dict]:
    """Rule, sources and dependencies of every target, by name."""
    made, home = {}, {}
    for source in sources(root):
        rule, name = target_of(root, source)
        made.setdefault(name, {"rule": rule, "srcs": [], "deps": set()})["srcs"].append(source)
        home[source.removesuffix(".py").removesuffix("/__init__").replace("/", ".")] = name
    for name, target in made.items():
        for source in target["srcs"]:
            modules = imported_modules(root, source)
            for module in sorted(modules):
                # Importing a.b.c runs the __init__ of a and of a.b too.
                while module:
                    target["deps"] |= {home[module]} if module in home else set()
                    module = module.rpartition(".")[0]
            if source.startswith("tests/") and "tests" in made:
                target["deps"].add("tests")
        target["deps"].discard(name)
    return made


def build_text(root: Path = ROOT) -> str:
    """The content of BUILD."""
    rules = []
    for name, target in sorted(targets(root).items()):
        lines = [f'    name = "{name}",']
        lines += _list("srcs", target["srcs"])
        if target["rule"] != "py_library":
            lines.append(f'    main = "{target["srcs"][0]}",')
        if target["deps"]:
            lines += _list("deps", [f":{dep}" for dep in sorted(target["deps"])])
        rules.append(f"{target['rule']}(\n" + "\n".join(lines) + "\n)\n")
    return HEADER + "\n" + "\n".join(rules)


def _list(key: str, values: list[str]) -> list[str]:
    if len(values) == 1:
        return [f'    {key} = ["{values[0]}"],']
    return [f"    {key} = ["] + [f'        "{value}",' for value in values] + ["    ],"]


if __name__ == "__main__":
    (ROOT / "BUILD").write_text(build_text())
