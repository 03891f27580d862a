"""Writes checkpoints as the published trainer does, with Flax itself."""

import re
from pathlib import Path

import numpy as np

from tests.optional import import_package

EXPERT = re.compile(r".*expert.*")


def tree_of(flat: dict) -> dict:
    """Nested dicts of a flat one with paths."""
    tree: dict = {}
    for path, value in flat.items():
        *folders, name = path.split("/")
        node = tree
        for folder in folders:
            node = node.setdefault(folder, {})
        node[name] = value
    return tree


def parameters_of(arrays: dict) -> dict[str, np.ndarray]:
    """The parameters of a reference run, by their paths in the published model."""
    return {name.removeprefix("p/"): a for name, a in arrays.items() if name.startswith("p/")}


def state_of(parameters: dict, step: int) -> dict:
    """The state of the trainer: step, parameters, and Adam's moments of them."""
    moments = {
        name: tree_of({p: 0.1 * a for p, a in parameters.items() if isinstance(a, np.ndarray)})
        for name in ("mu", "nu")
    }
    count = {"count": np.int32(step)}
    return {
        "step": np.int32(step),
        "params": tree_of(parameters),
        "opt_state": {"0": count | moments, "1": {}, "2": count},
    }


def write_checkpoint(
    folder: Path, parameters: dict, step: int = 30, processes: int = 1, devices: int = 1
) -> Path:
    """One replicated file, and a shard of each process if there are experts.

    Args:
        devices: of each process; all devices share the experts evenly.
    """
    serialization = import_package("flax.serialization")
    folder.mkdir(parents=True, exist_ok=True)
    empty = np.array([])

    def write(name: str, leaves: dict) -> Path:
        path = folder / f"{name}{step}"
        path.write_bytes(serialization.msgpack_serialize(state_of(leaves, step)))
        return path

    experts = {path: array for path, array in parameters.items() if EXPERT.match(path)}
    for process in range(processes if experts else 0):
        local = {}
        for path, array in experts.items():
            # Shape: [devices, d_in, experts, d_out], for biases [devices, d_out, experts]
            parts = np.split(array, processes * devices, axis=1)
            local[path] = np.stack(parts[process * devices : (process + 1) * devices])
        name = f"shard-{process:05d}-of-{processes:05d}_checkpoint_"
        write(name, {path: local.get(path, empty) for path in parameters})
    return write(
        "replicated_checkpoint_",
        {path: empty if path in experts else array for path, array in parameters.items()},
    )
