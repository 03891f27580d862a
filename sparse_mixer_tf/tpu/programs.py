"""The programs of a run, as one chip of a slice runs them, lowered without any data.

With several chips a step also adds up gradients and metrics between them. That is left out: each
program is that of one replica with its share of the global batch.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from sparse_mixer_tf.layers.tracing import made_for
from sparse_mixer_tf.settings import TrainingSettings, check_batch
from sparse_mixer_tf.tasks.base import Task
from sparse_mixer_tf.tasks.model_factory import forward
from sparse_mixer_tf.tpu.lowering import lower
from sparse_mixer_tf.training import optimizers
from sparse_mixer_tf.training.eval_step import EvaluationStep
from sparse_mixer_tf.training.recurrent_state import carried_memory, with_memory
from sparse_mixer_tf.training.train_step import TrainStep

PROGRAMS = TRAIN, EVALUATION, SERVING = "train step", "evaluation step", "serving"


class Program(NamedTuple):
    """Something that a chip runs.

    Attributes:
        name: for people.
        rows: of the batch that it takes.
        module: StableHLO.
    """

    name: str
    rows: int
    module: bytes


def check_shares(training: TrainingSettings, chips: int) -> None:
    """Raises SettingsError where a batch does not divide over the chips."""
    parts = training.gradient_accumulation_steps
    check_batch("train_batch_size", training.train_batch_size, chips, parts)
    check_batch("eval_batch_size", training.eval_batch_size, chips)


def lowered(
    task: Task, chips: int, refuse_spikes: bool = False, names: tuple[str, ...] = PROGRAMS
) -> list[Program]:
    """The programs of a task, by default all.

    Args:
        task: with its data opened or supposed; is built here.
        chips: that share the global batch.
        refuse_spikes: see `TrainStep`.

    Raises:
        LoweringError: something in them cannot be compiled.
    """
    training = task.settings
    with made_for("tpu"):
        task.build()
    # What a run ends with: the experts that a token chooses may have grown in number.
    task.static_choices(training.train_steps - 1)
    rows, eval_rows = training.train_batch_size // chips, training.eval_batch_size // chips
    make = {
        TRAIN: lambda: Program(TRAIN, rows, _train_step(task, training, rows, refuse_spikes)),
        EVALUATION: lambda: Program(EVALUATION, eval_rows, _evaluation_step(task, eval_rows)),
        SERVING: lambda: Program(SERVING, eval_rows, _serving(task, eval_rows)),
    }
    return [make[name]() for name in names]


def _train_step(task: Task, training: TrainingSettings, rows: int, refuse_spikes: bool) -> bytes:
    strategy = tf.distribute.get_strategy()
    optimizer = optimizers.scheduled_optimizer(training)
    optimizer.build(task.model.trainable_variables)
    memory = carried_memory(task.initial_memory, rows, strategy)
    step = TrainStep(
        task,
        task.model.trainable_variables,
        optimizer,
        strategy,
        seed=training.seed,
        gradient_accumulation_steps=training.gradient_accumulation_steps,
        max_gradient_norm=training.max_gradient_norm,
        jit_compile=True,
        memory=memory,
        refuse_spikes=refuse_spikes,
    )
    batch = _zeros(task.batch_schema(rows))
    return lower(TRAIN, step.whole, batch, memory and memory.value, tf.constant(0))


def _evaluation_step(task: Task, rows: int) -> bytes:
    strategy = tf.distribute.get_strategy()
    step = EvaluationStep(task.evaluation_sums, strategy, True, task.initial_memory)
    memory = carried_memory(task.initial_memory, rows, strategy)
    batch = _zeros(task.batch_schema(rows, evaluation=True))
    return lower(EVALUATION, step.of_replica, batch, memory and memory.value)


def _serving(task: Task, rows: int) -> bytes:
    """The model's outputs from token ids; where it carries a memory, for one block behind it."""

    def serve(batch, memory):
        return forward(task.model, with_memory(batch, memory), key=None).outputs

    memory = carried_memory(task.initial_memory, rows, tf.distribute.get_strategy())
    batch = _zeros(task.batch_schema(rows, evaluation=True))
    inputs = {name: batch[name] for name in batch if name in _input_names(task)}
    function = tf.function(serve, jit_compile=True, autograph=False)
    return lower(SERVING, function, inputs, memory and memory.value)


def _input_names(task: Task) -> set[str]:
    return set(task.model.input) | {"starts_anew"}


def _zeros(schema: dict) -> dict:
    return {name: tf.constant(np.zeros(spec.shape, spec.dtype)) for name, spec in schema.items()}
