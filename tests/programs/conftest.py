"""Programs run as their users run them: in a process of their own, on a small text file."""

import os
import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.programs import warm_start
from tests.programs.shortcuts import eagerly, without_pictures

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
# Everything that a report shows: a mixing matrix, experts, attention.
PRETRAINED = (
    "--architecture=lgs", "--train_steps=4", "--warmup_steps=1", "--eval_every=2",
    "--checkpoint_every=3", "--inspect",
)  # fmt: skip

# A language model of the text, in bytes, for `writer`.
WRITER = (
    "--flagfile=configs/brainformer_quickstart.flags", "--architecture=sf", "--d_model=16",
    "--d_ff=24", "--num_heads=2", "--num_experts=4", "--attn_span=64",
    "--block_size=16", "--train_batch_size=4", "--train_steps=12", "--warmup_steps=1",
    "--eval_every=6", "--eval_steps=2", "--checkpoint_every=5", "--log_every=1",
    "--jit_compile=false", "--parts_at_once=1", "--noinspect", "--learning_rate=1e-2",
)  # fmt: skip


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
        data: flags of the text.
        small: flags of a model that trains a step in milliseconds.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.text = write_text(folder / "text.txt")
        self.data = [f"--dataset={self.text}", f"--cache_dir={folder / 'cache'}"]
        self.small = [
            *self.data,
            "--vocab_size=120",
            "--max_seq_length=32",
            "--validation_fraction=0.2",
            "--architecture=lf",
            "--d_model=8",
            "--d_ff=16",
            "--num_heads=2",
            "--num_experts=4",
            "--train_batch_size=8",
            "--eval_batch_size=8",
            "--eval_steps=1",
            "--train_steps=12",
            "--warmup_steps=2",
            "--learning_rate=1e-2",
            "--max_gradient_norm=1",
            "--eval_every=4",
            "--checkpoint_every=5",
            "--log_every=1",
            "--jit_compile=false",
            "--noinspect",
        ]

    def start(
        self,
        module: str,
        *arguments: str,
        eager: bool = False,
        shortcuts: Sequence[Callable[[], None]] = (),
        **environment: str,
    ) -> warm_start.Program:
        """A program that is running, its pictures dots.

        Args:
            eager: without tracing, for a few steps whose graph is not what is tested.
            shortcuts: more functions that the new process calls first.
            environment: added to that of the tests.
        """
        first = [without_pictures, *([eagerly] if eager else []), *shortcuts]
        return warm_start.Program(module, arguments, ROOT, self._environment() | environment, first)

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

    def run(self, module: str, *arguments: str, **how) -> tuple[int, str]:
        """Exit code, and what it printed on both streams; `how` as for `start`."""
        program = self.start(module, *arguments, **how)
        output, _ = program.communicate()
        return program.returncode, output

    def train(self, workdir: Path, *arguments: str, **how) -> tuple[int, str]:
        """The same of the trainer, with the small model's flags."""
        flags = [*self.small, f"--workdir={workdir}", *arguments]
        return self.run("sparse_mixer_tf.train", *flags, **how)

    def _environment(self) -> dict[str, str]:
        return os.environ | {"PYTHONUNBUFFERED": "1", "HOME": str(self.folder)}


@pytest.fixture(scope="session")
def programs(tmp_path_factory) -> Programs:
    return Programs(tmp_path_factory.mktemp("programs"))


@pytest.fixture(scope="session")
def pretrained(programs) -> Path:
    """A run of four steps of pre-training and of a look at its weights, never traced."""
    workdir = programs.folder / "pretrained"
    code, output = programs.train(workdir, *PRETRAINED, eager=True)
    assert code == 0, output
    return workdir


@pytest.fixture(scope="session")
def writer(programs) -> tuple[Path, str]:
    """A language model's run, and what it printed."""
    workdir = programs.folder / "writer"
    command = ["sparse_mixer_tf.train", *WRITER, *programs.data, f"--workdir={workdir}"]
    code, output = programs.run(*command)
    assert code == 0, output
    return workdir, output
