"""The runs that the comparison starts, and its table."""

import json
import subprocess
import sys

from tests.programs.conftest import ROOT

# Training is replaced by writing what a trained run leaves: pre-trained ones score 0.8.
SCRIPT = """
import json, subprocess, sys
from pathlib import Path
from types import SimpleNamespace
from absl import app
from benchmarks import pretraining_helps

def train(command, **_):
    (workdir,) = (Path(a.split("=")[1]) for a in command if a.startswith("--workdir"))
    if workdir.name == "pretrained_model":
        workdir.mkdir(parents=True, exist_ok=True)
        facts = {"model": {"d_model": 8, "expert_d_ff": None}, "data": {"max_seq_length": 16}}
        (workdir / "settings.json").write_text(json.dumps(facts))
        return SimpleNamespace(returncode=0)
    score = 0.8 if workdir.name == "pretrained" else 0.6
    (workdir / "seed_1/checkpoints/00000001").mkdir(parents=True)
    settings = {"model": {}, "vocabulary_fingerprint": "ab", "data": {"dataset": "super_glue/cb"}}
    settings["training"] = {"learning_rate": 1e-3, "seed": 1}
    manifest = {"step": 1, "score": 1 - score, "complete": True}
    records = [{"step": 1, "split": "train", "seconds": 90.0}]
    records.append({"step": 1, "split": "validation", "loss": 1.0, "score": score})
    run = workdir / "seed_1"
    (run / "settings.json").write_text(json.dumps(settings))
    (run / "checkpoints/00000001/manifest.json").write_text(json.dumps(manifest))
    (run / "metrics.jsonl").write_text("".join(json.dumps(r) + chr(10) for r in records))
    (workdir / "sweep.json").write_text("[]")
    return SimpleNamespace(returncode=0)

subprocess.run = train
app.run(pretraining_helps.main)
"""


def _started(tmp_path) -> tuple[list[list[str]], str]:
    """The commands of the trainer that it starts, and the table."""
    flags = [
        f"--workdir={tmp_path}", "--data_dir=/data", "--pretrain=--flagfile=a.flags",
        "--finetune=--task=classify", "--tasks=super_glue/cb:16:1", "--seeds=1",
        "--learning_rates=1e-3",
    ]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *flags], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("python -m")]
    return [line.split()[3:] for line in lines], (tmp_path / "table.md").read_text()


def test_both_arms_are_fine_tuned_once_and_compared(tmp_path):
    (pretraining, helped, plain), table = _started(tmp_path)
    assert pretraining[0] == "--flagfile=a.flags" and "--data_dir=/data" in pretraining
    model = tmp_path / "pretrained_model"
    assert helped[0] == f"--init_checkpoint={model}"
    assert plain[:2] == ["--d_model=8", "--max_seq_length=16"]
    assert plain[2].startswith(f"--vocab_filepath={model}")
    tuning = {"--dataset=super_glue/cb", "--train_epochs=1", "--max_train_examples=16"}
    assert tuning <= set(helped) and tuning <= set(plain)
    row = "| super_glue/cb | 16, 1 epochs | 80.0 (80.0 to 80.0), lr 0.001 | 60.0 (60.0 to 60.0)"
    assert row in table and "| +20.0 | yes | 3 |" in table
    # Started again, it goes on where it stopped: here, with the table.
    again, repeated = _started(tmp_path)
    assert again == [pretraining] and repeated == table
    assert json.loads((model / "settings.json").read_text())["model"]["d_model"] == 8
