"""Dropout where a batch is cut up: other masks in every part, the same ones in every repetition."""

import warnings

import numpy as np
import pytest
import tensorflow as tf

from sparse_mixer_tf.training.distributed.strategy import mirrored
from sparse_mixer_tf.training.optimizers import adamw
from sparse_mixer_tf.training.train_step import TrainStep

PARTS = 4


class LossOfEachPart:
    """A task that tells the loss of each part of a batch apart, by the `part` of its rows."""

    def __init__(self, task):
        self.task = task

    def normalizers(self, batch):
        return self.task.normalizers(batch)

    def contributions(self, batch, normalizers, share, key):
        loss, *_ = self.task.contributions(batch, normalizers, share, key)
        return loss, {"losses": loss * tf.one_hot(batch["part"][0], PARTS)}


def _losses(open_task, strategy, architecture, steps, **rates) -> np.ndarray:
    """Losses [steps, parts] of the same rows in every part and step; the weights do not move."""
    with strategy.scope():
        task = open_task("pretrain", architecture=architecture, **rates)
        optimizer = adamw(0.0)
        optimizer.build(task.model.trainable_variables)
    row = {k: v.numpy()[:1] for k, v in next(iter(task.train_stream(0))).items()}
    batch = {name: np.repeat(array, PARTS, axis=0) for name, array in row.items()}
    batch["part"] = np.arange(PARTS)
    step = TrainStep(
        LossOfEachPart(task),
        task.model.trainable_variables,
        optimizer,
        strategy,
        gradient_accumulation_steps=PARTS // strategy.num_replicas_in_sync,
    )
    data = tf.data.Dataset.from_tensors(batch)
    (distributed,) = strategy.experimental_distribute_dataset(data)
    return np.array([step(distributed, number)["losses"].numpy() for number in steps])


# The sublayer that a rate is of.
RATES = {"dropout_rate": "f", "attention_dropout_rate": "s", "expert_dropout_rate": "g"}


@pytest.fixture
def untraced():
    """Functions run without tracing, which takes as long as some twenty steps."""
    tf.config.run_functions_eagerly(True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Even though the `tf.config.experimental_run")
        yield
    tf.config.run_functions_eagerly(False)


def test_masks_differ_between_replicas_micro_batches_and_steps_and_come_again(open_task):
    _assert_masks_differ(open_task, "dropout_rate")


@pytest.mark.parametrize("rate", ["attention_dropout_rate", "expert_dropout_rate"])
def test_so_do_those_of_other_rates(open_task, untraced, rate):
    _assert_masks_differ(open_task, rate)


def _assert_masks_differ(open_task, rate):
    strategy = mirrored(("CPU:0", "CPU:1"))
    rates = dict.fromkeys(RATES, 0.0) | {rate: 0.5}
    losses = _losses(open_task, strategy, RATES[rate], (0, 1, 0), **rates)
    assert len(set(losses[:2].ravel().tolist())) == 2 * PARTS
    np.testing.assert_array_equal(losses[2], losses[0])


def test_without_dropout_the_parts_are_alike(open_task, untraced):
    # Else the test above would tell nothing.
    rates = dict.fromkeys(RATES, 0.0)
    losses = _losses(open_task, tf.distribute.get_strategy(), "f", (0, 1), **rates)
    np.testing.assert_allclose(losses, losses[0, 0], rtol=1e-6)
