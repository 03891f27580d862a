"""A Brainformer of the published sizes and its training step, as character benchmarks run it."""

import math
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import keras
import tensorflow as tf

from pipelines.settings import DataSettings
from sparse_mixer_tf.optimizers import WarmupDecay, make_optimizer
from sparse_mixer_tf.settings import ModelSettings, TrainingSettings
from sparse_mixer_tf.tasks import TASKS
from sparse_mixer_tf.training.evaluation import evaluation_sums
from sparse_mixer_tf.training.memory import carried_memory
from sparse_mixer_tf.training.step import EvaluationStep, TrainStep

ARCHITECTURE, D_FF = "sgfgfg.sgfgfg", 256
# The share of a text that is for validation, and as much again for the test.
HELD_OUT = 0.05
_CORPUS_BYTES = 2_200_000


@dataclass(frozen=True)
class Configuration:
    """Sizes of a run with shared block weights."""

    d_model: int
    num_heads: int
    block_size: int
    attn_span: int
    batch_size: int
    adapt_span: bool

    @property
    def span_loss(self) -> float:
        """What a learned span costs a token."""
        return 5e-7 if self.adapt_span else 0.0


@dataclass(frozen=True)
class Recipe:
    """How a run is trained: by default as published, the warm-up aside."""

    optimizer: str = "adagrad"
    learning_rate: float = 0.07
    warmup_steps: int = 0
    decay: str = "constant"
    train_steps: int = 10**6
    max_gradient_norm: float | None = None


class Run:
    """A model and its training step on a text of bytes."""

    def __init__(
        self,
        sizes: Configuration,
        text: Path,
        jit: bool,
        dropout_rate: float = 0.0,
        parts_at_once: int = 1,
        recipe: Recipe = Recipe(),
        seed: int = 1,
    ):
        keras.utils.set_random_seed(seed)
        model = ModelSettings(
            architecture=ARCHITECTURE,
            share_block_weights=True,
            d_model=sizes.d_model,
            d_ff=D_FF,
            num_heads=sizes.num_heads,
            attn_span=sizes.attn_span,
            adapt_span=sizes.adapt_span,
            adapt_span_loss=sizes.span_loss,
            dropout_rate=dropout_rate,
            num_experts=16,
            router="dropless",
            gate="top_k",
            num_selected_experts=2,
            balance_loss_factor=0.0,
            router_z_loss_factor=0.0,
            activation="relu",
            initializer="torch",
        )
        training = TrainingSettings(
            task="causal_lm",
            train_batch_size=sizes.batch_size,
            eval_batch_size=sizes.batch_size,
            train_steps=recipe.train_steps,
            warmup_steps=recipe.warmup_steps,
            seed=seed,
        )
        data = DataSettings(
            dataset=str(text),
            cache_dir=str(text.parent / "cache"),
            tokenizer="byte",
            block_size=sizes.block_size,
            validation_fraction=HELD_OUT,
        )
        self.tokens = sizes.batch_size * sizes.block_size
        self.task = TASKS["causal_lm"](model, training, data)
        self.task.open_data()
        self.task.build()
        rate = WarmupDecay(
            recipe.learning_rate, recipe.warmup_steps, recipe.train_steps, recipe.decay
        )
        optimizer = make_optimizer(recipe.optimizer, rate, max_tensor_norm=0.03)
        optimizer.build(self.task.model.trainable_variables)
        self.task.static_choices(0)
        strategy = tf.distribute.get_strategy()
        self._train = TrainStep(
            self.task,
            self.task.model.trainable_variables,
            optimizer,
            strategy,
            parts_at_once=parts_at_once,
            max_gradient_norm=recipe.max_gradient_norm,
            jit_compile=jit,
            memory=carried_memory(self.task.initial_memory, sizes.batch_size, strategy),
        )
        self._evaluate = EvaluationStep(
            self.task.evaluation_sums, strategy, jit, self.task.initial_memory
        )
        self._batches, self._step = iter(self.task.train_stream(0)), 0

    def train(self) -> float:
        """One update; its loss in bits per character."""
        loss = self._train(next(self._batches), self._step)["next_loss"].numpy()
        self._step += 1
        return float(loss) / math.log(2)

    def held_out(self) -> float:
        """Bits per character on the whole held-out text."""
        sums = evaluation_sums(self.task.evaluation_stream(None), self._evaluate)
        return float(sums["tokens"]["loss"] / sums["tokens"]["count"]) / math.log(2)


def corpus(folder: str, given: Path | None) -> Path:
    """A copy of a text in a folder of our own, as what is prepared of it is written beside it.

    Args:
        given: the text; where None, the sources of this Python's standard library in the order of
            their names, up to 2.2 MB.
    """
    path = Path(folder) / "text.txt"
    if given:
        path.write_bytes(given.read_bytes())
        return path
    written = 0
    with path.open("w", encoding="utf-8") as out:
        for source in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
            text = source.read_text("utf-8", errors="replace")[: _CORPUS_BYTES - written]
            written += out.write(text + "\n\n")
            if written >= _CORPUS_BYTES:
                break
    return path
