"""Programs run as their users run them: in a process of their own, on a small text file."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.programs import warm_start

ROOT = Path(__file__).resolve().parents[2]
WORDS = (
    "the",
    "a",
    "small",
    "large",
    "cat",
    "dog",
    "house",
    "tree",
    "sees",
    "finds",
    "eats",
    "keeps",
)


def write_text(path: Path, documents: int = 120, seed: int = 0) -> Path:
    """Documents of a few made-up sentences, separated by blank lines."""
    chooser = random.Random(seed)
    texts = [
        "\n".join(
            " ".join(chooser.choices(WORDS, k=chooser.randint(3, 8))).capitalize() + "."
            for _ in range(chooser.randint(4, 12))
        )
        for _ in range(documents)
    ]
    path.write_text("\n\n".join(texts))
    return path


class Programs:
    """Runs `python -m …` from the project's root with a cache of its own.

    Attributes:
        small: flags of a model that trains a step in milliseconds.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.text = write_text(folder / "text.txt")
        self.small = [
            f"--dataset={self.text}",
            f"--cache_dir={folder / 'cache'}",
            "--vocab_size=120",
            "--max_seq_length=32",
            "--validation_fraction=0.2",
            "--architecture=lgsf",
            "--d_model=16",
            "--d_ff=32",
            "--num_heads=2",
            "--num_experts=4",
            "--train_batch_size=8",
            "--eval_batch_size=8",
            "--eval_steps=2",
            "--train_steps=60",
            "--warmup_steps=6",
            "--learning_rate=1e-2",
            "--max_gradient_norm=1",
            "--eval_every=20",
            "--checkpoint_every=7",
            "--log_every=1",
            "--jit_compile=false",
            "--noinspect",
        ]

    def start(self, module: str, *arguments: str, **environment: str) -> warm_start.Program:
        """A program that is running; `environment` is added to that of the tests."""
        return warm_start.Program(module, arguments, ROOT, self._environment() | environment)

    def start_cold(self, module: str, *arguments: str) -> subprocess.Popen:
        """The same in a new process, as a user starts it, which imports its libraries first."""
        return subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            env=self._environment(),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def run(self, module: str, *arguments: str) -> tuple[int, str]:
        """Exit code, and what it printed on both streams."""
        program = self.start(module, *arguments)
        output, _ = program.communicate()
        return program.returncode, output

    def _environment(self) -> dict[str, str]:
        return os.environ | {"PYTHONUNBUFFERED": "1", "HOME": str(self.folder)}

    def train(self, workdir: Path, *arguments: str) -> tuple[int, str]:
        return self.run("sparse_mixer_tf.train", *self.small, f"--workdir={workdir}", *arguments)


@pytest.fixture(scope="session")
def programs(tmp_path_factory) -> Programs:
    return Programs(tmp_path_factory.mktemp("programs"))


@pytest.fixture(scope="session")
def pretrained(programs) -> Path:
    """A run of four steps of pre-training."""
    workdir = programs.folder / "pretrained"
    code, output = programs.train(workdir, "--train_steps=4", "--warmup_steps=1", "--eval_every=4")
    assert code == 0, output
    return workdir
