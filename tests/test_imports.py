"""Who may import whom: the balance of the house."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ENTRY_POINTS = {
    path.stem
    for path in (ROOT / "sparse_mixer_tf").glob("*.py")
    if '__name__ == "__main__"' in path.read_text()
}
# Room: what it may import of ours. A package may always import from itself.
MAY_IMPORT = {
    "sparse_mixer_tf.architecture": set(),
    "sparse_mixer_tf.settings": set(),
    "sparse_mixer_tf.losses": set(),
    "sparse_mixer_tf.metrics": set(),
    "sparse_mixer_tf.optimizers": set(),
    "sparse_mixer_tf.output_folder": {"sparse_mixer_tf.settings"},
    "sparse_mixer_tf.continuation": {
        "sparse_mixer_tf.settings",
        "sparse_mixer_tf.training.workdir",
    },
    "sparse_mixer_tf.trial": {"sparse_mixer_tf.stopwatch"},
    "sparse_mixer_tf.compilation": {"sparse_mixer_tf.trial"},
    "sparse_mixer_tf.mixing_choice": {
        "sparse_mixer_tf.architecture",
        "sparse_mixer_tf.models",
        "sparse_mixer_tf.settings",
        "sparse_mixer_tf.trial",
    },
    "sparse_mixer_tf.precision": {
        "sparse_mixer_tf.layers",
        "sparse_mixer_tf.settings",
        "sparse_mixer_tf.trial",
    },
    "sparse_mixer_tf.presets": {"sparse_mixer_tf.architecture"},
    "sparse_mixer_tf.stopwatch": set(),
    "sparse_mixer_tf.cost": {"sparse_mixer_tf.architecture", "sparse_mixer_tf.settings"},
    "sparse_mixer_tf.cost_tables": {
        "sparse_mixer_tf.architecture",
        "sparse_mixer_tf.cost",
        "sparse_mixer_tf.settings",
    },
    "sparse_mixer_tf.layers": set(),
    "sparse_mixer_tf.models": {"sparse_mixer_tf.layers", "sparse_mixer_tf.architecture"},
    "sparse_mixer_tf.training": {
        "sparse_mixer_tf.layers.device",
        "sparse_mixer_tf.layers.varying_shapes",
        "sparse_mixer_tf.settings",
        "sparse_mixer_tf.metrics",
        "sparse_mixer_tf.optimizers",
        "sparse_mixer_tf.stopwatch",
    },
    "sparse_mixer_tf.tasks": {
        "pipelines",
        "sparse_mixer_tf.cost",
        "sparse_mixer_tf.cost_tables",
        "sparse_mixer_tf.layers",
        "sparse_mixer_tf.losses",
        "sparse_mixer_tf.metrics",
        "sparse_mixer_tf.models",
        "sparse_mixer_tf.settings",
    },
    # It writes what others read: the task that builds an encoder, the folder of a run.
    "sparse_mixer_tf.conversion": {
        "pipelines.settings",
        "pipelines.vocabulary",
        "sparse_mixer_tf.architecture",
        "sparse_mixer_tf.models",
        "sparse_mixer_tf.settings",
        "sparse_mixer_tf.tasks.encoder",
        "sparse_mixer_tf.training.checkpoint",
        "sparse_mixer_tf.training.workdir",
    },
    "sparse_mixer_tf.inspection": {
        "pipelines",
        "sparse_mixer_tf.architecture",
        "sparse_mixer_tf.layers",
        "sparse_mixer_tf.stopwatch",
        "sparse_mixer_tf.tasks",
        "sparse_mixer_tf.training",
    },
    "sparse_mixer_tf.serving": {
        "pipelines",
        "sparse_mixer_tf.models",
        "sparse_mixer_tf.settings",
        "sparse_mixer_tf.tasks",
    },
    "sparse_mixer_tf.reports": {
        "pipelines.vocabulary",
        "sparse_mixer_tf.inspection.files",
        "sparse_mixer_tf.metrics",
        "sparse_mixer_tf.models",
        "sparse_mixer_tf.settings",
    },
    "sparse_mixer_tf.tpu": {
        "sparse_mixer_tf.layers.device",
        "sparse_mixer_tf.optimizers",
        "sparse_mixer_tf.settings",
        "sparse_mixer_tf.tasks",
        "sparse_mixer_tf.training",
    },
    "pipelines": set(),
}


def _modules() -> dict[str, Path]:
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for folder in ("pipelines", "sparse_mixer_tf")
        for path in (ROOT / folder).rglob("*.py")
    }


MODULES = _modules()


def _imports(path: Path) -> set[str]:
    """Modules that a file imports, wherever in the file: ours by their full name, others whole."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole in MODULES else node.module)
    return found


def _room(module: str) -> str | None:
    return next((r for r in MAY_IMPORT if module == r or module.startswith(r + ".")), None)


@pytest.mark.parametrize("module", sorted(m for m in MODULES if _room(m)))
def test_a_room_imports_only_what_it_may(module):
    room = _room(module)
    for imported in _imports(MODULES[module]):
        if imported in MODULES and _room(imported) != room:
            assert any(
                imported == allowed or imported.startswith(allowed + ".")
                for allowed in MAY_IMPORT[room]
            ), f"{module} may not import {imported}"


@pytest.mark.parametrize("module", sorted(MODULES))
def test_nobody_imports_an_entry_point(module):
    for imported in _imports(MODULES[module]):
        assert imported.removeprefix("sparse_mixer_tf.") not in ENTRY_POINTS


BACKEND_FREE = ("sparse_mixer_tf.layers", "sparse_mixer_tf.models")


@pytest.mark.parametrize("module", sorted(m for m in MODULES if _room(m) in BACKEND_FREE))
def test_layers_and_models_know_no_tensorflow(module):
    roots = {imported.split(".")[0] for imported in _imports(MODULES[module])}
    assert not roots & {"tensorflow", "tensorflow_text", "tensorflow_datasets", "jax", "torch"}


def test_every_module_of_the_package_has_a_room_or_is_an_entry_point_or_flags():
    known = ENTRY_POINTS | {"flags", "command_line", "runs"}
    known |= {"run_results", "scoring", "sweep", "benchmark", "reporting"}
    for module in MODULES:
        if _room(module) is None and module != "sparse_mixer_tf":
            assert module.removeprefix("sparse_mixer_tf.") in known, f"{module} has no rule"
