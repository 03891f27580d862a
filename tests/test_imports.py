"""The rules of docs/design.md: which folder may import from which."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = {
    f"{path.parent.name}.{path.stem}"
    for folder in ("pipelines", "sparse_mixer_tf")
    for path in (ROOT / folder).glob("*.py")
    if '__name__ == "__main__"' in path.read_text()
}
BASE = {"pipelines.errors", "pipelines.progress", "pipelines.settings"}
FILES = BASE | {"pipelines.filesystem", "pipelines.random_streams", "pipelines.schema"}
# A folder, or a module that stands alone: the folders and modules that it may import. A folder may
# import from itself and from the folders inside it.
MAY_IMPORT = {
    "pipelines.datasets": FILES
    | {f"pipelines.{name}" for name in ("examples", "labelled", "store", "tokenizers")},
    "pipelines.examples": FILES | {"pipelines.store", "pipelines.tokenizers"},
    "pipelines.labelled": FILES
    | {"pipelines.examples", "pipelines.sources", "pipelines.tokenizers"},
    "pipelines.sources": FILES,
    "pipelines.store": FILES | {"pipelines.sources", "pipelines.tokenizers"},
    "pipelines.tokenizers": FILES | {"pipelines.sources"},
    "pipelines.prepare": FILES
    | {f"pipelines.{name}" for name in ("flags", "sources", "store", "tokenizers")},
    "pipelines.download": FILES | {f"pipelines.{name}" for name in ("flags", "sources", "store")},
    "sparse_mixer_tf.architecture": set(),
    "sparse_mixer_tf.settings": set(),
    "sparse_mixer_tf.metrics": set(),
    "sparse_mixer_tf.presets": {"sparse_mixer_tf.architecture"},
    "sparse_mixer_tf.cost_model": {"sparse_mixer_tf.architecture", "sparse_mixer_tf.settings"},
    "sparse_mixer_tf.layers": set(),
    "sparse_mixer_tf.models": {"sparse_mixer_tf.architecture", "sparse_mixer_tf.layers"},
    "sparse_mixer_tf.autotune": {
        "sparse_mixer_tf.architecture",
        "sparse_mixer_tf.layers",
        "sparse_mixer_tf.models",
        "sparse_mixer_tf.settings",
    },
    "sparse_mixer_tf.training": {
        "sparse_mixer_tf.autotune.timing",
        "sparse_mixer_tf.layers",
        "sparse_mixer_tf.settings",
    },
    "sparse_mixer_tf.tasks": {
        "pipelines",
        "sparse_mixer_tf.cost_model",
        "sparse_mixer_tf.layers",
        "sparse_mixer_tf.metrics",
        "sparse_mixer_tf.models",
        "sparse_mixer_tf.settings",
        "sparse_mixer_tf.training",
    },
    "sparse_mixer_tf.cli": {
        "pipelines",
        "sparse_mixer_tf.architecture",
        "sparse_mixer_tf.presets",
        "sparse_mixer_tf.settings",
        "sparse_mixer_tf.training.workdir",
    },
    "sparse_mixer_tf.analysis": {
        "pipelines",
        "sparse_mixer_tf.autotune.timing",
        "sparse_mixer_tf.layers",
        "sparse_mixer_tf.tasks",
        "sparse_mixer_tf.training",
    },
    "sparse_mixer_tf.experiments": {
        "pipelines",
        "sparse_mixer_tf.cli",
        "sparse_mixer_tf.metrics",
        "sparse_mixer_tf.settings",
        "sparse_mixer_tf.tasks",
        "sparse_mixer_tf.training",
    },
    "sparse_mixer_tf.reports": {
        "pipelines",
        "sparse_mixer_tf.analysis",
        "sparse_mixer_tf.experiments",
        "sparse_mixer_tf.metrics",
        "sparse_mixer_tf.settings",
        "sparse_mixer_tf.tasks",
        "sparse_mixer_tf.training",
    },
    "sparse_mixer_tf.conversion": {
        "pipelines",
        "sparse_mixer_tf.architecture",
        "sparse_mixer_tf.models",
        "sparse_mixer_tf.settings",
        "sparse_mixer_tf.tasks",
        "sparse_mixer_tf.training",
    },
    "sparse_mixer_tf.serving": {
        "pipelines",
        "sparse_mixer_tf.models",
        "sparse_mixer_tf.settings",
        "sparse_mixer_tf.tasks",
    },
    "sparse_mixer_tf.tpu": {
        "sparse_mixer_tf.layers.tracing",
        "sparse_mixer_tf.settings",
        "sparse_mixer_tf.tasks",
        "sparse_mixer_tf.training",
    },
}
# The ground floor of `pipelines`: these import one another alone.
for name in sorted(FILES | {"pipelines.flags"}):
    MAY_IMPORT[name] = FILES


def _modules() -> dict[str, Path]:
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for folder in ("pipelines", "sparse_mixer_tf")
        for path in (ROOT / folder).rglob("*.py")
    }


MODULES = _modules()


def _imports(path: Path) -> set[str]:
    """Return the modules that a file imports anywhere; ours by their full name."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                found.add(full if full in MODULES else node.module)
    return found


def _is_in(module: str, folder: str) -> bool:
    return module == folder or module.startswith(folder + ".")


def _folder(module: str) -> str | None:
    return next((folder for folder in MAY_IMPORT if _is_in(module, folder)), None)


def test_a_folder_imports_from_the_folders_below_it_alone():
    for module, path in MODULES.items():
        folder = _folder(module)
        for imported in _imports(path) if folder else ():
            if imported in MODULES and not _is_in(imported, folder):
                allowed = any(_is_in(imported, other) for other in MAY_IMPORT[folder])
                assert allowed, f"{module} may not import {imported}"


def test_no_module_imports_a_program():
    for module, path in MODULES.items():
        # The data of a run that was not prepared before is prepared by the run.
        programs = _imports(path) & PROGRAMS - {"pipelines.prepare"}
        assert not programs, f"{module} imports {programs}"


def test_layers_and_models_are_free_of_any_backend():
    for module, path in MODULES.items():
        if _folder(module) in ("sparse_mixer_tf.layers", "sparse_mixer_tf.models"):
            roots = {imported.split(".")[0] for imported in _imports(path)}
            found = roots & {"tensorflow", "tensorflow_text", "tensorflow_datasets", "jax", "torch"}
            assert not found, f"{module} imports {found}"


def test_every_module_has_a_rule_or_is_a_program():
    for module in MODULES:
        if _folder(module) is None and module not in ("pipelines", "sparse_mixer_tf"):
            assert module in PROGRAMS, f"{module} has no rule"


def test_no_modules_import_each_other_in_a_circle():
    graph = {module: _imports(path) & set(MODULES) for module, path in MODULES.items()}
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join([*path, module])
        if module not in done:
            for imported in graph[module]:
                visit(imported, (*path, module))
            done.add(module)

    for module in graph:
        visit(module, ())


@pytest.mark.parametrize("folder", ["pipelines", "sparse_mixer_tf"])
def test_folders_and_files_stay_small(folder):
    for place in [ROOT / folder, *(p for p in (ROOT / folder).rglob("*") if p.is_dir())]:
        files = sorted(path for path in place.glob("*.py") if path.name != "__init__.py")
        assert len(files) <= 16, f"{place} has {len(files)} modules"
        for path in files:
            lines = path.read_text().count("\n")
            assert lines <= 350, f"{path} has {lines} lines"
