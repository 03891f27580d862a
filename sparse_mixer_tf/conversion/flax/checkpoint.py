"""The checkpoints of the published Sparse Mixers: one replicated file, experts in shards.

`replicated_checkpoint_N` holds everything but the experts, in whose place are empty arrays.
`shard-PPPPP-of-NNNNN_checkpoint_N`, one for each process of the training, holds the experts of that
process, one more axis in front for its devices, and empty arrays in place of the rest.

References:
    [`sparse_mixers/checkpoints.py`](https://github.com/google-research/google-research/tree/master/sparse_mixers)
"""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sparse_mixer_tf.conversion.flax import msgpack
from sparse_mixer_tf.settings import SettingsError

REPLICATED = re.compile(r"replicated_checkpoint_(\d+)")
SHARD = re.compile(r"shard-(\d{5})-of-(\d{5})_checkpoint_(\d+)")


class FlaxCheckpoint(NamedTuple):
    """Parameters of a published model.

    Attributes:
        path: of the replicated file.
        step: optimizer steps.
        parameters: float32, by paths such as `encoder/pooler/kernel`; experts all together on
            axis 1.
    """

    path: Path
    step: int
    parameters: dict[str, np.ndarray]


def find(place: Path) -> Path | None:
    """The replicated file at a place: itself, or the one of the newest step in a folder."""
    if place.is_file():
        return place if REPLICATED.fullmatch(place.name) else None
    files = [
        path for path in place.glob("replicated_checkpoint_*") if REPLICATED.fullmatch(path.name)
    ]
    return max(files, key=_step, default=None)


def read(path: Path) -> FlaxCheckpoint:
    """Reads a checkpoint with its shards, which lie beside it.

    Raises:
        SettingsError: a file is damaged or missing, or a parameter is no array of numbers.
    """
    parameters = _parameters(path)
    sharded = [name for name, array in parameters.items() if array.size == 0]
    if sharded:
        shards = [_parameters(shard) for shard in _shards(path)]
        for name in sharded:
            parameters[name] = _join(name, shards, path)
    return FlaxCheckpoint(
        path, _step(path), {name: array.astype(np.float32) for name, array in parameters.items()}
    )


def _step(path: Path) -> int:
    return int(REPLICATED.fullmatch(path.name)[1])


def _parameters(path: Path) -> dict[str, np.ndarray]:
    tree = msgpack.read(path)
    if not isinstance(tree.get("params"), dict):
        raise SettingsError(f"{path} has no params; give a checkpoint of the published trainer")
    flat = _flat(tree["params"])
    for name, array in flat.items():
        if not isinstance(array, np.ndarray):
            raise SettingsError(f"{path}: {name} is no array")
        if array.dtype.name not in ("float16", "bfloat16", "float32", "float64"):
            raise SettingsError(f"{path}: {name} has dtype {array.dtype}; expected floats")
    return flat


def _flat(tree: dict, prefix: str = "") -> dict:
    flat = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}/")
        else:
            flat[prefix + name] = value
    return flat


def _shards(path: Path) -> list[Path]:
    """The shards beside a replicated file, in the order of their processes."""
    found = {}
    for file in path.parent.glob(f"shard-*_checkpoint_{_step(path)}"):
        match = SHARD.fullmatch(file.name)
        if match:
            found.setdefault(int(match[2]), {})[int(match[1])] = file
    if len(found) != 1:
        why = f"shards of trainings with {sorted(found)} processes" if found else "no shards"
        raise SettingsError(
            f"{path} has its experts in shard-00000-of-NNNNN_checkpoint_{_step(path)} and so on; "
            f"beside it are {why}"
        )
    ((count, files),) = found.items()
    for index in range(count):
        if index not in files:
            raise SettingsError(
                f"{path.parent / f'shard-{index:05d}-of-{count:05d}_checkpoint_{_step(path)}'} is "
                "missing; copy all shards of the checkpoint"
            )
    return [files[index] for index in range(count)]


def _join(name: str, shards: list[dict[str, np.ndarray]], path: Path) -> np.ndarray:
    """The experts of all devices of all processes, together on axis 1."""
    of_devices = []
    for shard in shards:
        if name not in shard or shard[name].size == 0:
            raise SettingsError(f"{path} has an empty {name}, which is in no shard either")
        # Shape: [devices, d_in, experts, d_out], for biases [devices, d_out, experts]
        if shard[name].ndim not in (3, 4):
            raise SettingsError(
                f"{path}: {name} has shape {shard[name].shape} in its shard; expected one axis for "
                "devices before those of a kernel or bias of experts"
            )
        of_devices += list(shard[name])
    if len({array.shape for array in of_devices}) != 1:
        raise SettingsError(f"{path}: {name} has another shape in another shard")
    return np.concatenate(of_devices, axis=1)
