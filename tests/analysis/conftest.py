"""Small tasks of every kind, built and with their data open."""

import json
import random

import keras
import pytest

from pipelines.settings import DataSettings
from pipelines.tokenizers import sentencepiece_training
from sparse_mixer_tf.settings import ModelSettings, TrainingSettings
from sparse_mixer_tf.tasks import TASKS

WORDS = ("red", "green", "blue", "one", "two", "three", "cat", "dog")
MODEL = {"d_model": 16, "d_ff": 24, "num_heads": 2, "num_experts": 4}
CAUSAL = {"router": "dropless", "gate": "top_k", "num_selected_experts": 2, "attn_span": 24}


@pytest.fixture(scope="session")
def text(tmp_path_factory):
    chooser = random.Random(0)
    folder = tmp_path_factory.mktemp("inspected")
    documents = [
        "\n".join(" ".join(chooser.choices(WORDS, k=9)).capitalize() + "." for _ in range(6))
        for _ in range(60)
    ]
    (folder / "text.txt").write_text("\n\n".join(documents))
    for split in ("train", "validation"):
        rows = [
            {"text": " ".join(chooser.choices(WORDS, k=4 + n % 5)), "label": ("no", "yes")[n % 2]}
            for n in range(30)
        ]
        (folder / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


@pytest.fixture(scope="session")
def open_task(text):
    """`kind, changes of the model -> task`."""

    def make(kind: str, precision: str = "float32", **changes):
        keras.utils.set_random_seed(0)
        data = {"cache_dir": str(text / "cache"), "validation_fraction": 0.2, "vocab_size": 80}
        data |= {"dataset": str(text / "text.txt"), "max_seq_length": 24}
        model = MODEL | {"architecture": "lgs"} | changes
        if kind == "causal_lm":
            data |= {"tokenizer": "byte", "block_size": 16}
            model = MODEL | CAUSAL | {"architecture": "sgf"} | changes
        if kind == "classify":
            data = {"dataset": str(text / "{split}.jsonl"), "text_fields": "text"}
            data |= {"max_seq_length": 24}
        task = TASKS[kind](
            ModelSettings(**model),
            TrainingSettings(task=kind, train_batch_size=4, eval_batch_size=4, precision=precision),
            DataSettings(**data),
        )
        if kind == "classify":
            lines = [" ".join(WORDS)] * 9
            task.restore(sentencepiece_training.train(lines, 40), {"labels": ["no", "yes"]})
        task.open_data()
        task.build()
        return task

    return make
