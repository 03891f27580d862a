"""Numbers of the published originals: a set in tests/fixtures, and further ones that a clone lacks.

The further ones lie in `../shared/fixtures`. Their cases are added where that folder is there, and
left to `make test-all`: they show an equality again that the set in tests/fixtures shows too.
"""

import functools
import json
from pathlib import Path

import numpy as np
import pytest

FIXTURES = Path(__file__).resolve().parent / "fixtures"
FURTHER = Path(__file__).resolve().parents[2] / "shared" / "fixtures"


def reference_names(system: str, pattern: str, without: str | None = None) -> list:
    """Names of files as parameters of a test; further ones are marked `long`.

    Args:
        system: `sparse_mixers` or `brainformer`.
        pattern: of names without `.npz`, as for `Path.glob`.
        without: pattern of names that are passed over.

    Raises:
        FileNotFoundError: tests/fixtures holds no such file.
    """

    def found(folder: Path) -> set[str]:
        passed = {path.stem for path in folder.glob(f"{without}.npz")} if without else set()
        return {path.stem for path in folder.glob(f"{pattern}.npz")} - passed

    own = found(FIXTURES / system)
    if not own:
        raise FileNotFoundError(f"{FIXTURES / system} holds no {pattern}.npz")
    mark = pytest.mark.long("further cases of the same equality")
    further = [pytest.param(name, marks=mark) for name in sorted(found(FURTHER / system) - own)]
    return [*sorted(own), *further]


def reference_path(system: str, name: str) -> Path:
    """Return the path of a file of this name: in tests/fixtures, otherwise among the further ones.

    Raises:
        FileNotFoundError: it is in neither.
    """
    for folder in (FIXTURES, FURTHER):
        if (folder / system / name).exists():
            return folder / system / name
    raise FileNotFoundError(f"{FIXTURES / system} holds no {name}")


def read_arrays(system: str, name: str) -> dict[str, np.ndarray]:
    """The arrays of a file, whose name is given without `.npz`, by their names in it."""
    with np.load(reference_path(system, f"{name}.npz")) as arrays:
        return dict(arrays)


def read_config(system: str, name: str) -> dict:
    """The configuration that a file was computed with; those of further files are here too."""
    return _configs(system)[name]


@functools.cache
def _configs(system: str) -> dict[str, dict]:
    return json.loads((FIXTURES / system / "config.json").read_text("utf-8"))
