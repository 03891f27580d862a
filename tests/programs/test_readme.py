"""Every command of the README is run, with the sizes made small behind it."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conversion import hugging_face
from tests.models.small_vocabulary import train_vocabulary
from tests.programs.conftest import ROOT, write_text
from tests.tfds_folders import c4_records, write_prepared

README = (ROOT / "README.md").read_text()
COMMANDS = [line.strip() for line in README.splitlines() if line.startswith("    python -m ")]
SMALL = {
    "sparse_mixer_tf.train": [
        "--train_steps=3", "--warmup_steps=1", "--log_every=1", "--eval_steps=1",
        "--vocab_size=120", "--max_documents=60", "--validation_fraction=0.2",
        "--max_seq_length=128", "--architecture=lgsf", "--d_emb=16", "--d_model=16", "--d_ff=16",
        "--expert_d_ff=16", "--num_heads=2", "--train_batch_size=4", "--eval_batch_size=4",
        "--jit_compile=false",
    ],
    "sparse_mixer_tf.describe": [
        "--vocab_size=120", "--max_documents=60", "--validation_fraction=0.2",
        "--max_seq_length=128", "--train_batch_size=4",
    ],
    "pipelines.prepare": ["--vocab_size=120"],
}  # fmt: skip
BRAINFORMER = [
    "--train_steps=3", "--warmup_steps=1", "--eval_steps=1", "--max_documents=60",
    "--validation_fraction=0.2", "--architecture=sgf", "--d_model=16", "--d_ff=16",
    "--num_heads=2", "--num_experts=4", "--attn_span=64", "--block_size=32",
    "--train_batch_size=4", "--eval_batch_size=4", "--jit_compile=false",
]  # fmt: skip
READS_DATA = (
    "pipelines.prepare", "sparse_mixer_tf.describe", "sparse_mixer_tf.evaluate",
    "sparse_mixer_tf.launch", "sparse_mixer_tf.train",
)  # fmt: skip
# Sizes and vocabulary are those of the run that is fine-tuned.
FINETUNE = ["--train_epochs=0.01", "--evaluations=1", "--max_documents=200"]


def _arguments(command: str, places: dict[str, str]) -> list[str]:
    for name, place in places.items():
        command = command.replace(name, place)
    return shlex.split(command)[2:]


def test_make_quickstart_is_the_command_that_the_readme_shows():
    recipe = re.search(r"^quickstart:.*\n\t(.*)$", (ROOT / "Makefile").read_text(), re.M)[1]
    assert recipe.replace("$(BIN)/", "") in COMMANDS


def _prepare_data(folder: Path, documents: list[str]) -> None:
    """Small data sets under the names that the README's commands read from TFDS."""
    write_prepared(
        folder,
        "c4/en",
        {"train": c4_records(documents), "validation": c4_records(documents[:20])},
    )
    pairs = [
        {"sentence1": document, "sentence2": document[:30], "label": number % 2, "idx": number}
        for number, document in enumerate(documents)
    ]
    test = [pair | {"label": -1} for pair in pairs]
    write_prepared(folder, "glue/rte", {"train": pairs, "validation": pairs[:20], "test": test})


@pytest.mark.long("runs every command of the README, minutes")
def test_the_commands_work_in_their_order(programs, tmp_path):
    (tmp_path / "texts").mkdir()
    documents = write_text(tmp_path / "a.txt", 80).read_text().split("\n\n")
    lines = [json.dumps({"text": document}) for document in documents]
    (tmp_path / "texts/a.jsonl").write_text("\n".join(lines))
    _prepare_data(tmp_path / "tfds", documents)
    hugging_face.save(tmp_path / "theirs/fnet", "FNetForPreTraining")
    special = ["[CLS]", "[SEP]", "[MASK]"]
    (tmp_path / "theirs/spiece.model").write_bytes(train_vocabulary(user_defined_symbols=special))
    places = {
        "runs/": f"{tmp_path}/runs/",
        "exports/": f"{tmp_path}/exports/",
        "theirs/": f"{tmp_path}/theirs/",
        "texts/": f"{tmp_path}/texts/",
        "--output=tokens": f"--output={tmp_path}/tokens",
        "$TFDS_DATA_DIR": str(tmp_path / "tfds"),
    }
    assert len(COMMANDS) >= 7
    for command in COMMANDS:
        module, *flags = _arguments(command, places)
        if any("configs/finetune" in flag for flag in flags):
            flags += FINETUNE
        elif any("configs/brainformer" in flag for flag in flags):
            flags += BRAINFORMER
        elif module == "sparse_mixer_tf.launch":
            flags += SMALL["sparse_mixer_tf.train"]
        elif module in SMALL:
            flags += SMALL[module]
        if module in READS_DATA and "--noshow_batch" not in flags:
            flags.append(f"--cache_dir={programs.folder / 'readme_cache'}")
        code, output = programs.run(module, *flags)
        assert code == 0, f"{command}\n{output}"
        assert "Traceback" not in output


@pytest.mark.long("starts TensorBoard, which imports TensorFlow once more")
def test_tensorboard_reads_what_a_run_wrote(programs):
    workdir = programs.folder / "board"
    code, output = programs.train(workdir, "--train_steps=2", "--warmup_steps=1")
    assert code == 0, output
    inspect = [str(Path(sys.executable).parent / "tensorboard"), "--inspect", "--logdir"]
    shown = subprocess.run(
        [*inspect, str(workdir / "tensorboard/train")], capture_output=True, text=True
    )
    assert "masked_lm_loss" in shown.stdout, shown.stderr


def test_the_notebook_lines_work():
    block = re.search(
        r"^    from sparse_mixer_tf.*?^    backbone.summary\(\)$", README, re.S | re.M
    )[0]
    code = "\n".join(line[4:] for line in block.splitlines())
    names: dict = {}
    exec(code.replace("d_model=256", "d_model=16").replace("32_000", "50"), names)
    assert names["backbone"].count_params() > 0
