"""The scripts of configs/tpu, run against a gcloud of folders and a trainer of a few files."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.flags_in_process import settings_of
from tests.optional import need_program

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted((ROOT / "configs" / "tpu").glob("*.sh"))
PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}"


class Cloud:
    """Folders that stand for a checkout, a TPU's host and a bucket."""

    def __init__(self, folder: Path):
        self.folder, self.checkout = folder, folder / "checkout"
        shutil.copytree(ROOT / "configs", self.checkout / "configs")
        for name in ("pipelines", "sparse_mixer_tf"):
            (self.checkout / name).mkdir()
        for name in ("requirements-tpu.txt", "requirements-tpu-no-deps.txt"):
            shutil.copy(ROOT / name, self.checkout)
        (folder / "bin").mkdir()
        for name in ("gcloud", "python3"):
            program, fake = folder / "bin" / name, ROOT / f"tests/tpu/fake_{name.rstrip('3')}.py"
            this = '"$0" ' if name == "python3" else ""
            program.write_text(f'#!/bin/sh\nexec {sys.executable} -IS {fake} {this}"$@"\n')
            program.chmod(0o755)
        self.bucket = folder / "buckets" / "mine"
        self.bucket.mkdir(parents=True)
        places = {"VM": "vm", "BUCKETS": "buckets", "LOG": "log", "STARTS": "starts"}
        self.environment = os.environ | {
            "PATH": f"{folder / 'bin'}:{PATH}",
            **{f"FAKE_{name}": str(folder / place) for name, place in places.items()},
            "BUCKET": "gs://mine",
            "COPY_EVERY": "1",
        }

    def run(self, script: str, *arguments: str, **environment: str) -> int:
        command = [self.checkout / "configs" / "tpu" / script, *arguments]
        return subprocess.run(command, env=self.environment | environment).returncode

    def lines(self, name: str) -> list[list]:
        return [json.loads(line) for line in (self.folder / name).read_text().splitlines()]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_has_no_fault_that_shellcheck_knows(script):
    shellcheck = need_program("shellcheck", path=PATH)
    done = subprocess.run([shellcheck, "-x", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.long("runs the scripts of a TPU job through interruption and preemption")
@pytest.mark.parametrize("flagfile", ["one_host", "pod_slice"])
def test_a_run_goes_on_after_interruption_and_preemption_and_is_fetched(tmp_path, flagfile):
    cloud = Cloud(tmp_path)
    address = {"one_host": "local", "pod_slice": "sparse-mixer"}[flagfile]
    chosen = {"FLAGFILE": f"configs/tpu/{flagfile}.flags", "TPU_ADDRESS": address}
    assert cloud.run("resume.sh", "--max_gradient_norm=1.0", **chosen) == 0
    commands = [command.split()[-1] for command, *_ in cloud.lines("log")]
    assert commands.count("create") == 2 and commands.count("scp") == 2

    # Each start finds what those before it made, on whatever machine.
    starts = cloud.lines("starts")
    made = ["checkpoint-0", "checkpoint-1", "checkpoint-2"]
    assert [found for found, _ in starts] == [[], made[:1], made[:2]]
    assert sorted(p.name for p in (cloud.bucket / "runs/c4").iterdir()) == made
    assert cloud.run("fetch.sh") == 0
    assert sorted(p.name for p in (cloud.checkout / "runs/c4").iterdir()) == made

    # What the trainer was started with are flags that it has.
    (arguments,) = {tuple(arguments) for _, arguments in starts}
    assert "--max_gradient_norm=1.0" in arguments
    settings = settings_of(arguments, ROOT)
    assert f"tpu='{address}'" in settings and "data_dir='gs://mine/tfds'" in settings
    assert "mixed_bfloat16" in settings


def test_a_run_that_fails_on_a_tpu_that_is_there_is_not_started_again(tmp_path):
    cloud = Cloud(tmp_path)
    python = cloud.folder / "bin" / "python3"
    python.write_text(
        python.read_text().replace("exec", 'case "$*" in *train*) exit 2;; esac\nexec')
    )
    assert cloud.run("resume.sh") == 2
    commands = [command.split()[-1] for command, *_ in cloud.lines("log")]
    assert commands.count("create") == 1


@pytest.mark.parametrize("script", [s.name for s in SCRIPTS if s.name != "settings.sh"])
def test_a_script_without_a_bucket_says_so(tmp_path, script):
    done = subprocess.run(
        ["bash", ROOT / "configs" / "tpu" / script],
        env={"PATH": PATH}, cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode != 0 and "set BUCKET=gs://your-bucket" in done.stderr


def test_tpu_vms_get_the_pins_of_everybody_but_tensorflows():
    def pins(name: str) -> set[str]:
        lines = (ROOT / name).read_text().splitlines()
        return {line for line in lines if line and not line.startswith("#")}

    everybody = pins("requirements.txt")
    here = pins("requirements-tpu.txt") | pins("requirements-tpu-no-deps.txt")
    replaced = {"tensorflow==2.21.0", "tensorflow-text==2.21.1", "tensorboard==2.21.0"}
    assert replaced <= everybody
    assert everybody - replaced <= here
    assert {"tensorflow-tpu==2.20.0", "tensorflow-text==2.20.1", "cloud-tpu-client==0.10"} <= here
    assert not any(line.startswith("cloud-tpu-client") for line in everybody)
