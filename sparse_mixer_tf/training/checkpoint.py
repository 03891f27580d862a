"""Checkpoints that are either whole or not there.

Each is a folder `checkpoints/00000100/` with the variables in `state.safetensors` (a format that
cannot hold code) and a `manifest.json` with its checksum, the step and what the run was made of. It
is written under another name, read back, and only then renamed.

What a checkpoint says of itself, sealed: a bit that has changed is found.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
from absl import logging
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from sparse_mixer_tf.training.retry import with_retries

STATE = "state.safetensors"


class CheckpointError(ValueError):
    """No checkpoint can be used, or one does not fit the model."""


def named(groups: Mapping[str, list]) -> dict:
    """Keras variables by a unique name, `group/path`.

    Raises:
        CheckpointError: if two variables share a path, since one would overwrite the other.
    """
    variables = {}
    for group, members in groups.items():
        for variable in members:
            name = f"{group}/{variable.path}"
            if name in variables:
                raise CheckpointError(f"two variables are called {name}; name their layers apart")
            variables[name] = variable
    return variables


class Checkpoints:
    """The checkpoints of one run. Which one is best stands in their own manifests.

    Args:
        folder: made when the first one is saved.
        variables: everything to save by name; see `named`. Restoring looks at the groups that are
            in here and leaves the others alone, so that a model is read without its optimizer.
        keep: newest checkpoints to keep, besides the best.
    """

    def __init__(self, folder: Path, variables: dict, keep: int = 2):
        self.folder, self.variables, self.keep = Path(folder), variables, keep

    def save(self, step: int, facts: dict, score: float | None = None) -> Path:
        """Writes the checkpoint of `step` with the variables as they are; see `write`."""
        return self.write(step, self.snapshot(), facts, score)

    def snapshot(self) -> dict[str, np.ndarray]:
        """The variables by name, copied, so that training may go on while they are written."""
        return {name: np.asarray(variable.numpy()) for name, variable in self.variables.items()}

    def write(
        self, step: int, arrays: dict[str, np.ndarray], facts: dict, score: float | None = None
    ) -> Path:
        """Writes the checkpoint of `step` and drops old ones.

        Args:
            arrays: of `snapshot`.
            facts: go into the manifest.
            score: the held-out loss at this step, if it was evaluated.

        Raises:
            OSError: nothing of it is left then, and the older ones are untouched.
        """
        final = self.folder / f"{step:08d}"
        if final.exists():
            if self.is_whole(step):
                return final
            shutil.rmtree(final)
        # What a process that was killed has left takes up room.
        for unfinished in self.folder.glob(".writing-*"):
            shutil.rmtree(unfinished, ignore_errors=True)
        temporary = self.folder / f".writing-{step:08d}"
        try:
            self._write_unnamed(temporary, step, arrays, facts | {"score": score})
            os.rename(temporary, final)
        except OSError:
            # On a full disk, half a checkpoint would keep the next one from fitting.
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        _flush(self.folder)
        self._rotate(step)
        return final

    def _write_unnamed(self, folder: Path, step: int, arrays: dict, facts: dict) -> None:
        folder.mkdir(parents=True)
        try:
            save_file(arrays, folder / STATE)
        except SafetensorError as error:
            raise OSError(f"{folder / STATE}: {error}") from error
        write_manifest(folder, {"step": step, "sha256": _sha256(folder / STATE)} | facts)
        for path in (folder / STATE, folder / MANIFEST, folder):
            _flush(path)
        _verify_equal(load_file(folder / STATE), arrays)

    def steps(self) -> list[int]:
        """Steps that have a checkpoint, oldest first; not yet verified."""
        return sorted(int(p.name) for p in self.folder.glob("[0-9]*") if p.name.isdigit())

    def latest_manifest(self) -> dict | None:
        """The manifest of the newest checkpoint, state not yet verified; None without any."""
        return next(iter(self._manifests(reversed(self.steps()))), None)

    def is_whole(self, step: int) -> bool:
        """Return whether the checkpoint of a step can be read; a warning names the fault."""
        return self._load(step) is not None

    def restore_latest(self) -> dict | None:
        """Restores the newest checkpoint that is whole and returns its manifest; None without any.

        Raises:
            CheckpointError: if there are checkpoints but none is whole, or one does not fit.
        """
        steps = self.steps()
        for step in reversed(steps):
            manifest = self._read(step)
            if manifest is not None:
                return manifest
        if steps:
            raise CheckpointError(
                f"none of the checkpoints in {self.folder} is whole; "
                "copy a good one back, or give another --workdir to start afresh"
            )
        return None

    def restore(self, step: int) -> dict:
        """Restores the checkpoint of one step and returns its manifest."""
        manifest = self._read(step)
        if manifest is None:
            raise CheckpointError(f"the checkpoint of step {step} in {self.folder} is not whole")
        return manifest

    def best(self, last: int | None = None) -> dict | None:
        """The manifest of the checkpoint with the lowest score, or None if none has one.

        Args:
            last: look no further than this step.
        """
        steps = [step for step in self.steps() if last is None or step <= last]
        scored = [m for m in self._manifests(steps) if isinstance(m.get("score"), float | int)]
        return min(scored, key=lambda m: m["score"], default=None)

    def best_step(self) -> int | None:
        """The step of the best checkpoint, of the newest if none was scored; None without any."""
        best = self.best()
        return best["step"] if best else max(self.steps(), default=None)

    def _manifests(self, steps: Iterable[int]) -> Iterator[dict]:
        for step in steps:
            try:
                yield read_manifest(self.folder / f"{step:08d}")
            except (OSError, ValueError):
                continue  # A damaged one is named when it is restored.

    def _rotate(self, written: int) -> None:
        best = self.best()
        # One of a later step is damaged, else the run would have gone on from it: it counts for
        # nothing, and the run will write it again.
        steps = [step for step in self.steps() if step <= written]
        kept = set(steps[-self.keep :]) | ({best["step"]} if best else set())
        for step in steps:
            if step not in kept:
                shutil.rmtree(self.folder / f"{step:08d}")

    def arrays(self, step: int) -> dict[str, np.ndarray]:
        """Every variable that the checkpoint of one step holds, by name.

        Raises:
            CheckpointError: if it is not whole.
        """
        whole = self._load(step)
        if whole is None:
            raise CheckpointError(f"the checkpoint of step {step} in {self.folder} is not whole")
        return whole[1]

    def _read(self, step: int) -> dict | None:
        whole = self._load(step)
        if whole is None:
            return None
        self._assign(whole[1], self.folder / f"{step:08d}")
        return whole[0]

    def _load(self, step: int) -> tuple[dict, dict] | None:
        """Manifest and arrays of a checkpoint; None, with a warning, if it is damaged."""
        folder = self.folder / f"{step:08d}"

        def read():
            manifest = read_manifest(folder)
            if _sha256(folder / STATE) != manifest["sha256"]:
                raise ValueError("its checksum is wrong")
            return manifest, load_file(folder / STATE)

        try:
            return with_retries(read, f"reading {folder}")
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            logging.warning("checkpoint %s is damaged and not used: %s", folder, error)
            return None

    def _assign(self, arrays: dict, folder: Path) -> None:
        groups = {_group(name) for name in self.variables}
        saved = {name for name in arrays if _group(name) in groups}
        for names, has in (
            (set(self.variables) - saved, "lacks"),
            (saved - set(self.variables), "has an extra"),
        ):
            if names:
                raise CheckpointError(f"{folder} {has} {min(names)} ({len(names)} such variables)")
        for name, variable in self.variables.items():
            if tuple(variable.shape) != arrays[name].shape:
                raise CheckpointError(
                    f"{folder}: {name} has shape {arrays[name].shape}, "
                    f"the model's is {tuple(variable.shape)}"
                )
        for name, variable in self.variables.items():
            variable.assign(arrays[name])


def _group(name: str) -> str:
    return name.split("/", 1)[0]


def _verify_equal(written: dict, arrays: dict) -> None:
    for name, array in arrays.items():
        if written[name].tobytes() != array.tobytes():
            raise OSError(f"{name} read back from the checkpoint differs from what was written")


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def _flush(path: Path) -> None:
    """Makes the operating system write it to disk, so that a rename never outruns the content."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


MANIFEST = "manifest.json"
_SEAL = "seal"


def write_manifest(folder: Path, facts: dict) -> None:
    """Writes the manifest of a checkpoint.

    Args:
        facts: go to JSON; the step among them.
    """
    facts = json.loads(json.dumps(facts))
    (folder / MANIFEST).write_text(json.dumps(facts | {_SEAL: _seal(facts)}, indent=1), "utf-8")


def read_manifest(folder: Path) -> dict:
    """The facts of a checkpoint, whose folder is named after its step.

    Raises:
        OSError: there is no manifest, or it cannot be read.
        ValueError: it is not as it was written.
    """
    try:
        facts = json.loads((folder / MANIFEST).read_text("utf-8"))
    except RecursionError:
        raise ValueError("its manifest has no end") from None
    if not isinstance(facts, dict) or facts.get("step") != int(folder.name):
        raise ValueError("its manifest is of something else")
    # Checkpoints of earlier versions have none.
    if facts.pop(_SEAL, seal := _seal(facts)) != seal:
        raise ValueError("its manifest was changed")
    return facts


def _seal(facts: dict) -> str:
    bare = {name: value for name, value in facts.items() if name != _SEAL}
    return hashlib.sha256(json.dumps(bare, sort_keys=True).encode()).hexdigest()
