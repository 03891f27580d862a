"""Runs in processes of their own, which these tests harm."""

import json
import subprocess
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from tests.programs.conftest import Programs


def latest_bits(workdir: Path) -> dict[str, bytes]:
    """Every array of the newest checkpoint."""
    newest = sorted((workdir / "checkpoints").glob("[0-9]*"))[-1]
    arrays = load_file(newest / "state.safetensors")
    return {name: array.tobytes() for name, array in arrays.items()}


def metrics(workdir: Path, split: str = "train") -> dict[int, dict]:
    """What a run logged, by step."""
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return {r["step"]: r for r in map(json.loads, lines) if r["split"] == split}


class Run:
    """The command of one run, started as often as a test likes."""

    def __init__(self, programs: Programs, name: str, *flags: str, workers: int = 1):
        self.programs, self.workdir, self.workers = programs, programs.folder / name, workers
        self.flags = [*programs.small, f"--workdir={self.workdir}", *flags]

    def start(self) -> subprocess.Popen:
        if self.workers == 1:
            return self.programs.start("sparse_mixer_tf.train", *self.flags)
        launch = ("sparse_mixer_tf.launch", f"--workers={self.workers}", "--")
        return self.programs.start(*launch, *self.flags)

    def finish(self) -> tuple[int, str]:
        """Exit code and output."""
        process = self.start()
        output, _ = process.communicate(timeout=600)
        return process.returncode, output


@pytest.fixture(scope="session")
def programs(tmp_path_factory) -> Programs:
    return Programs(tmp_path_factory.mktemp("programs"))
