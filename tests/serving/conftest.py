"""Small models as runs leave them, made without training."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipelines.settings import DataSettings
from pipelines.tokenizers.sentencepiece_model import Pieces, Vocabulary
from pipelines.tokenizers.symbols import SymbolCollector
from sparse_mixer_tf.settings import ModelSettings, TrainingSettings
from sparse_mixer_tf.tasks import TASKS
from tests.models.small_vocabulary import TEXTS, train_vocabulary

SIZES = {"d_model": 16, "d_ff": 24, "num_heads": 2, "num_experts": 4}
SPECIAL = ["[CLS]", "[SEP]", "[MASK]"]
LINES = "\n".join(TEXTS) + "\n\r\nThe end\tof it, [SEP] é\n"


@pytest.fixture(scope="session", params=["bpe", "unigram"])
def words(request) -> Vocabulary:
    """A vocabulary in which special pieces are spelled like any other, as some are."""
    return make_words(request.param, user_defined_symbols=SPECIAL)


def make_words(model_type="bpe", **options) -> Vocabulary:
    """A small vocabulary."""
    return Vocabulary(train_vocabulary(model_type=model_type, vocab_size=50, **options))


@pytest.fixture(scope="session")
def symbols() -> Callable:
    """`tokenizer -> vocabulary` of LINES."""

    def make(tokenizer: str):
        if tokenizer == "sentencepiece":
            return Pieces(make_words(control_symbols=SPECIAL))
        collector = SymbolCollector(tokenizer)
        collector.encode(LINES.encode())
        return collector.finish()

    return make


@pytest.fixture(scope="session")
def make_task() -> Callable:
    """`kind, vocabulary -> task` with weights far from their small beginnings."""

    def make(kind, vocabulary, labels=("no", "yes"), data=None, **model):
        model = {"architecture": "lgsf", **SIZES, **model}
        task = TASKS[kind](
            ModelSettings(**model),
            TrainingSettings(task=kind),
            DataSettings(**{"max_seq_length": 32, **(data or {})}),
        )
        facts = {"labels": list(labels), "vocabulary_fingerprint": vocabulary.fingerprint}
        task.restore(vocabulary, facts | {"data_fingerprint": "0"})
        task.build()
        rng = np.random.default_rng(0)
        moved = [w + rng.normal(0, 0.2, w.shape) for w in task.model.get_weights()]
        task.model.set_weights(moved)
        return task

    return make


@pytest.fixture(scope="session")
def make_writer(make_task, symbols) -> Callable:
    """`tokenizer -> task` of a language model."""

    def make(tokenizer="byte", **model):
        model = {"router": "dropless", "gate": "top_k", "num_selected_experts": 2} | model
        model = {"architecture": "sgf.s", "attn_span": 20, "activation": "relu"} | model
        return make_task("causal_lm", symbols(tokenizer), data={"tokenizer": tokenizer}, **model)

    return make


@pytest.fixture
def workdir(tmp_path) -> Callable:
    """`task -> folder` with the task's vocabulary where a run keeps it."""

    def make(task) -> Path:
        path = tmp_path / task.vocabulary_file
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(task.vocabulary.model_bytes)
        return tmp_path

    return make


@pytest.fixture
def served(workdir) -> Callable:
    """`task -> ServedModel`."""
    from sparse_mixer_tf.serving import model_with_rows_apart, serve

    return lambda task: serve(task, model_with_rows_apart(task, 1), workdir(task), 5)
