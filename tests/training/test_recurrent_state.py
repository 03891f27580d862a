"""A leaky sum over the steps: what a row carries shows in every later loss and gradient."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from sparse_mixer_tf.training.checkpoint import Checkpoints, named
from sparse_mixer_tf.training.distributed.strategy import mirrored
from sparse_mixer_tf.training.eval_step import EvaluationStep, evaluation_sums
from sparse_mixer_tf.training.optimizers import adamw
from sparse_mixer_tf.training.recurrent_state import carried_memory
from sparse_mixer_tf.training.train_step import TrainStep
from tests.long_cases import long_cases

BATCH, WIDTH = 8, 3


class LeakySum:
    """Fits `y` to the carried sum of all `x w` that its row has met, halved at each step."""

    def __init__(self):
        self.w = keras.Variable(
            np.linspace(-1, 1, WIDTH * 2).reshape(WIDTH, 2), dtype="float32", name="w"
        )

    def initial_memory(self, batch_size):
        return np.zeros((batch_size, 2, 1), "float32")

    def normalizers(self, batch):
        return {"rows": tf.cast(tf.shape(batch["x"])[0], tf.float32)}

    def _recall(self, batch):
        return 0.5 * batch["memory"] + tf.matmul(batch["x"], self.w.value)[:, :, None]

    def contributions(self, batch, normalizers, share, key):
        memory = self._recall(batch)
        error = tf.square(tf.reduce_sum(memory, [1, 2]) - batch["y"])
        loss = tf.reduce_sum(error) / normalizers["rows"]
        return loss, {"error": loss}, tf.stop_gradient(memory)

    def sums(self, batch):
        memory = self._recall(batch)
        return {"sum": tf.reduce_sum(memory)}, memory


def _batches(steps, start=0):
    for step in range(start, steps):
        random = np.random.RandomState(step)
        yield {
            "x": random.randn(BATCH, WIDTH).astype("float32"),
            "y": random.randn(BATCH).astype("float32"),
            # In every other batch all rows go on.
            "starts_anew": random.rand(BATCH) < (0.3 if step % 2 == 0 else 0.0),
        }


def _distributed(strategy, batch):
    replicas = strategy.num_replicas_in_sync
    return strategy.experimental_distribute_values_from_function(
        lambda context: {
            name: tf.constant(np.split(x, replicas)[context.replica_id_in_sync_group])
            for name, x in batch.items()
        }
    )


def _by_hand(steps):
    """Memory after the last step of an objective whose weights stay as they are."""
    memory, w = np.zeros((BATCH, 2)), LeakySum().w.numpy()
    for batch in _batches(steps):
        memory = 0.5 * memory * ~batch["starts_anew"][:, None] + batch["x"] @ w
    return memory


class Run:
    def __init__(self, strategy, folder="unused", rate=0.1, **options):
        self.strategy = strategy
        with strategy.scope():
            self.objective = LeakySum()
            optimizer = adamw(rate)
            optimizer.build([self.objective.w])
        self.memory = carried_memory(self.objective.initial_memory, BATCH, strategy)
        self.step = TrainStep(
            self.objective, [self.objective.w], optimizer, strategy, memory=self.memory, **options
        )
        variables = named({"model": [self.objective.w], "memory": [self.memory]})
        # Keras numbers optimizers through; those of one process have different paths.
        variables |= {f"optimizer/{i}": v for i, v in enumerate(optimizer.variables)}
        self.checkpoints = Checkpoints(folder, variables)

    def train(self, steps, start=0):
        return [
            float(self.step(_distributed(self.strategy, batch), index)["loss"])
            for index, batch in enumerate(_batches(steps, start), start)
        ]


def _one_device():
    return tf.distribute.get_strategy()


def _mirrored():
    return mirrored(("CPU:0", "CPU:1"))


CUTS = [
    (_one_device, {}),
    (_one_device, {"gradient_accumulation_steps": 4}),
    (_mirrored, {"jit_compile": True, "gradient_accumulation_steps": 2}),
    *long_cases(
        (_one_device, {"parts_at_once": 2, "gradient_accumulation_steps": 2}),
        (_one_device, {"jit_compile": True, "gradient_accumulation_steps": 2}),
        (_mirrored, {}),
    ),
]


@pytest.mark.parametrize(("strategy", "options"), CUTS)
def test_each_row_meets_what_it_left_and_zeros_where_its_text_starts_anew(strategy, options):
    run = Run(strategy(), rate=0.0, **options)
    run.train(5)
    np.testing.assert_allclose(run.memory.numpy()[..., 0], _by_hand(5), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("strategy", "options"), CUTS[1:])
def test_cutting_the_batch_changes_no_number(strategy, options):
    whole, cut = Run(_one_device()), Run(strategy(), **options)
    np.testing.assert_allclose(whole.train(6), cut.train(6), rtol=1e-5)
    np.testing.assert_allclose(whole.memory.numpy(), cut.memory.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("strategy", "options"), CUTS)
def test_an_update_that_is_no_number_leaves_the_memory(strategy, options):
    run = Run(strategy(), **options)
    run.train(2)
    before = run.memory.numpy()
    bad = next(_batches(3, start=2))
    bad["y"][-1] = np.nan
    assert float(run.step(_distributed(run.strategy, bad), 2)["applied"]) == 0
    assert np.array_equal(run.memory.numpy(), before)
    run.train(4, start=3)
    assert not np.array_equal(run.memory.numpy(), before)


@pytest.mark.parametrize("strategy", [_one_device, _mirrored])
def test_a_run_that_continues_has_the_bits_of_the_undisturbed_one(tmp_path, strategy):
    undisturbed = Run(strategy())
    losses = undisturbed.train(6)
    first = Run(strategy(), tmp_path)
    first.train(3)
    first.checkpoints.save(3, {})
    second = Run(strategy(), tmp_path)
    second.checkpoints.restore_latest()
    assert second.train(6, start=3) == losses[3:]
    assert second.memory.numpy().tobytes() == undisturbed.memory.numpy().tobytes()


def test_another_number_of_replicas_takes_up_the_same_rows(tmp_path):
    first = Run(_mirrored(), tmp_path)
    first.train(3)
    first.checkpoints.save(3, {})
    second = Run(_one_device(), tmp_path)
    second.checkpoints.restore_latest()
    np.testing.assert_array_equal(second.memory.numpy(), first.memory.numpy())
    np.testing.assert_allclose(second.train(6, start=3), first.train(6, start=3), rtol=1e-5)


def test_measuring_leaves_the_memory_alone():
    run = Run(_one_device())
    run.train(2)
    before = run.memory.numpy()
    run.step.measure(_distributed(run.strategy, next(_batches(3, 2))))
    np.testing.assert_array_equal(run.memory.numpy(), before)


@pytest.mark.parametrize("parts_at_once", [1, 2])
@pytest.mark.parametrize("strategy", [_one_device, _mirrored])
def test_an_evaluation_carries_from_batch_to_batch_and_begins_with_zeros(strategy, parts_at_once):
    strategy = strategy()
    with strategy.scope():
        objective = LeakySum()
    rows = set()

    def sums(batch):
        rows.update(array.shape[0] for array in batch.values())
        return objective.sums(batch)

    step = EvaluationStep(
        sums,
        strategy,
        initial_memory=objective.initial_memory,
        parts_at_once=parts_at_once,
    )
    batches = [_distributed(strategy, batch) for batch in _batches(4)]
    expected = sum(_by_hand(steps).sum() for steps in range(1, 5))
    for _ in range(2):
        assert evaluation_sums(batches, step)["sum"] == pytest.approx(expected, rel=1e-4)
    assert rows == {BATCH // strategy.num_replicas_in_sync // parts_at_once}


def test_a_task_may_carry_nothing():
    assert carried_memory(None, BATCH, _one_device()) is None
    assert carried_memory(lambda size: None, BATCH, _one_device()) is None
