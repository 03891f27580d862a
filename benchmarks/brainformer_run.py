"""The published Brainformer's training step at some sizes, as character benchmarks run it."""

import math
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import keras
import tensorflow as tf
from absl import flags

from sparse_mixer_tf.cli import flags as package_flags
from sparse_mixer_tf.tasks import TASKS
from sparse_mixer_tf.training.distributed.input import one_ahead
from sparse_mixer_tf.training.eval_step import EvaluationStep, evaluation_sums
from sparse_mixer_tf.training.optimizers import scheduled_optimizer
from sparse_mixer_tf.training.recurrent_state import carried_memory
from sparse_mixer_tf.training.train_step import TrainStep

ARCHITECTURE, D_FF, SPAN_LOSS = "sgfgfg.sgfgfg", 256, 5e-7
# The share of a text that is for validation, and as much again for the test.
HELD_OUT = 0.05
_PUBLISHED = Path(__file__).parents[1] / "configs" / "brainformer.flags"
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


class Run:
    """A model and its training step on a text of bytes.

    Args:
        sizes: of the model and its batches.
        text: what it learns to write.
        recipe: flags of the trainer, over those of the published runs.
        parts_at_once: as the trainer's flag.
        jit: whether XLA compiles the steps.
        seed: of the first weights.
    """

    def __init__(
        self,
        sizes: Configuration,
        text: Path,
        recipe: tuple[str, ...],
        parts_at_once: int = 1,
        jit: bool = False,
        seed: int = 1,
    ):
        keras.utils.set_random_seed(seed)
        flags.FLAGS(
            [
                "train",
                f"--flagfile={_PUBLISHED}",
                f"--architecture={ARCHITECTURE}",
                f"--d_model={sizes.d_model}",
                f"--d_ff={D_FF}",
                f"--num_heads={sizes.num_heads}",
                f"--attn_span={sizes.attn_span}",
                f"--adapt_span={sizes.adapt_span}",
                f"--adapt_span_loss={SPAN_LOSS}",
                f"--block_size={sizes.block_size}",
                f"--train_batch_size={sizes.batch_size}",
                f"--eval_batch_size={sizes.batch_size}",
                f"--dataset={text}",
                f"--cache_dir={text.parent / 'cache'}",
                "--tokenizer=byte",
                f"--validation_fraction={HELD_OUT}",
                "--dropout_rate=0",
                f"--seed={seed}",
                *recipe,
            ]
        )
        model, training = package_flags.model_settings(), package_flags.training_settings()
        self.task = TASKS[training.task](model, training, package_flags.data_settings())
        self.task.open_data()
        self.task.build()
        optimizer = scheduled_optimizer(training)
        optimizer.build(self.task.model.trainable_variables)
        self.task.static_choices(0)
        strategy = tf.distribute.get_strategy()
        self._train = TrainStep(
            self.task,
            self.task.model.trainable_variables,
            optimizer,
            strategy,
            parts_at_once=parts_at_once,
            max_gradient_norm=training.max_gradient_norm,
            jit_compile=jit,
            memory=carried_memory(self.task.initial_memory, sizes.batch_size, strategy),
        )
        self._evaluate = EvaluationStep(
            self.task.evaluation_sums, strategy, jit, self.task.initial_memory
        )
        self._batches, self._step = one_ahead(self.task.train_stream(0)), 0

    def train(self) -> float:
        """One update; its loss in bits per character."""
        loss = self._train(next(self._batches), self._step)["next_loss"].numpy()
        self._step += 1
        return float(loss) / math.log(2)

    def held_out(self) -> float:
        """Bits per character on the whole held-out text."""
        sums = evaluation_sums(self.task.evaluation_stream(None), self._evaluate)
        return float(sums["tokens"]["loss"] / sums["tokens"]["count"]) / math.log(2)


def peer_of(sizes: Configuration):
    """The published arithmetic at these sizes."""
    # Not above: it is needed with --peers only.
    from benchmarks.brainformer_in_torch import Brainformer

    return Brainformer(
        ARCHITECTURE, 256, sizes.d_model, D_FF, sizes.num_heads, sizes.attn_span, sizes.adapt_span
    )


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
