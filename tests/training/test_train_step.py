"""A small model with weighted examples, so that averaging parts instead of adding would show."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from sparse_mixer_tf.autotune.xla import ELEMENTWISE, compiled
from sparse_mixer_tf.layers.tracing import shapes_may_vary
from sparse_mixer_tf.training.distributed.strategy import mirrored
from sparse_mixer_tf.training.eval_step import EvaluationStep
from sparse_mixer_tf.training.optimizers import Adagrad, adamw
from sparse_mixer_tf.training.train_step import TrainStep
from tests.long_cases import long_cases

BATCH = 8


class WeightedRegression:
    """A loss divided by the global weight, plus a mean that every part contributes a share of."""

    def __init__(self):
        self.model = keras.Sequential(
            [keras.layers.Dense(5, activation="tanh"), keras.layers.Dense(1)]
        )
        self.model.build((None, 3))
        random = np.random.RandomState(0)
        for variable in self.model.variables:
            variable.assign(random.randn(*variable.shape))

    def normalizers(self, batch):
        return {"weights": tf.reduce_sum(batch["weights"])}

    def contributions(self, batch, normalizers, share, key):
        error = tf.square(self.model(batch["x"])[:, 0] - batch["y"]) * batch["weights"]
        loss = tf.reduce_sum(error) / normalizers["weights"]
        size = sum(tf.reduce_sum(tf.square(v)) for v in self.model.trainable_variables)
        bits = tf.cast(key[0] % tf.constant(997, tf.uint32), tf.float32)
        return loss + 0.01 * share * size, {"error": loss, "size": share * size, "bits": bits}


def _batches(steps):
    random = np.random.RandomState(1)
    for _ in range(steps):
        yield {
            "x": random.randn(BATCH, 3).astype("float32"),
            "y": random.randn(BATCH).astype("float32"),
            "weights": random.randint(5, size=BATCH).astype("float32"),
        }


def _train(strategy, steps=4, make_optimizer=adamw, **options):
    with strategy.scope():
        objective = WeightedRegression()
        optimizer = make_optimizer(0.1)
        optimizer.build(objective.model.trainable_variables)
    step = TrainStep(objective, objective.model.trainable_variables, optimizer, strategy, **options)
    rows = []
    for index, batch in enumerate(_batches(steps)):
        distributed = strategy.experimental_distribute_values_from_function(
            lambda context, batch=batch: {
                name: tf.constant(
                    np.split(x, strategy.num_replicas_in_sync)[context.replica_id_in_sync_group]
                )
                for name, x in batch.items()
            }
        )
        rows.append({k: float(v) for k, v in step(distributed, index).items() if v.shape.rank == 0})
    return rows, [v.numpy() for v in objective.model.variables]


def _one_device():
    return tf.distribute.get_strategy()


def _mirrored():
    return mirrored(("CPU:0", "CPU:1"))


@pytest.mark.parametrize(
    ("strategy", "options"),
    [
        (_one_device, {"gradient_accumulation_steps": 4}),
        (_one_device, {"jit_compile": True, "gradient_accumulation_steps": 2}),
        (_one_device, {"parts_at_once": 2, "gradient_accumulation_steps": 2}),
        (_mirrored, {"gradient_accumulation_steps": 2}),
        *long_cases(
            (_one_device, {"jit_compile": True}),
            (_one_device, {"parts_at_once": 4}),
            (_mirrored, {"parts_at_once": 2}),
            (_mirrored, {}),
            (_mirrored, {"jit_compile": True}),
        ),
    ],
)
def test_cutting_the_batch_changes_no_number(strategy, options):
    clip = {"max_gradient_norm": 0.7}
    rows, weights = _train(_one_device(), **clip)
    other_rows, other_weights = _train(strategy(), **clip, **options)
    for row, other in zip(rows, other_rows, strict=True):
        for name in ("loss", "error", "size", "gradient_norm", "learning_rate"):
            assert other[name] == pytest.approx(row[name], rel=1e-5), name
    for value, other in zip(weights, other_weights, strict=True):
        np.testing.assert_allclose(other, value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("strategy", "options"),
    [
        (_one_device, {"gradient_accumulation_steps": 2}),
        *long_cases((_one_device, {}), (_one_device, {"parts_at_once": 2}), (_mirrored, {})),
    ],
)
def test_what_xla_compiles_between_products_changes_no_number(strategy, options):
    rows, weights = _train(_one_device())
    train = compiled(ELEMENTWISE, _train)
    other_rows, other_weights = train(strategy(), static_shapes=True, **options)
    for row, other in zip(rows, other_rows, strict=True):
        for name in ("loss", "gradient_norm"):
            assert other[name] == pytest.approx(row[name], rel=1e-5), name
    for value, other in zip(weights, other_weights, strict=True):
        np.testing.assert_allclose(other, value, rtol=1e-5, atol=1e-6)


def test_norms_of_tensors_are_those_of_the_clipped_gradients():
    def adagrad(rate):
        return Adagrad(rate, max_tensor_norm=0.2)

    options = {"make_optimizer": adagrad, "max_gradient_norm": 0.7}
    _, weights = _train(_one_device(), **options)
    # Replicas have their optimizer compute the norms of what it is given.
    _, others = _train(_mirrored(), **options)
    for value, other in zip(weights, others, strict=True):
        np.testing.assert_allclose(other, value, rtol=1e-5, atol=1e-6)


def test_clipping_bounds_the_update_by_the_global_norm():
    free, clipped = (
        _train(_one_device(), steps=1),
        _train(_one_device(), steps=1, max_gradient_norm=1e-7),
    )
    assert free[0][0]["gradient_norm"] == pytest.approx(clipped[0][0]["gradient_norm"])
    assert free[0][0]["gradient_norm"] > 1
    # With gradients far below epsilon, Adam no longer moves by the learning rate.
    moved = [np.abs(a - b).max() for a, b in zip(free[1], clipped[1], strict=True)]
    assert max(moved) > 0.05


def test_keys_differ_between_steps_parts_replicas_and_seeds():
    def keys(strategy, **options):
        return [row["bits"] for row in _train(strategy, steps=1, **options)[0]]

    # The sums over parts of the first key word, modulo 997, are all different.
    halves = keys(_one_device(), gradient_accumulation_steps=2)
    fourths = keys(_one_device(), gradient_accumulation_steps=4)
    assert len({halves[0], fourths[0], keys(_one_device(), seed=5)[0], keys(_one_device())[0]}) == 4
    assert halves == keys(_mirrored())


@pytest.mark.long("traces six steps; the quicker test has the law for microbatches and replicas")
def test_keys_of_parts_are_those_of_microbatches_and_come_again():
    def keys(**options):
        return [row["bits"] for row in _train(_one_device(), steps=1, **options)[0]]

    assert keys(parts_at_once=2) == keys(gradient_accumulation_steps=2)
    both = {"parts_at_once": 2, "gradient_accumulation_steps": 2}
    assert keys(**both) == keys(gradient_accumulation_steps=4)
    assert keys(seed=5) == keys(seed=5)


def test_measuring_updates_nothing():
    strategy = _one_device()
    objective = WeightedRegression()
    optimizer = adamw(0.1)
    optimizer.build(objective.model.trainable_variables)
    step = TrainStep(objective, objective.model.trainable_variables, optimizer, strategy)
    before = [v.numpy() for v in [*objective.model.variables, *optimizer.variables]]
    assert step.measure({k: tf.constant(v) for k, v in next(_batches(1)).items()}) > 0
    after = [v.numpy() for v in [*objective.model.variables, *optimizer.variables]]
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a, b)


def test_evaluation_sums_add_up_over_replicas():
    batch = next(_batches(1))
    for strategy in (_one_device(), _mirrored()):
        with strategy.scope():
            step = EvaluationStep(
                lambda b: {"sum": tf.reduce_sum(b["x"]), "nested": {"count": tf.size(b["x"])}},
                strategy,
            )
        data = tf.data.Dataset.from_tensors(batch)
        sums = step(next(iter(strategy.experimental_distribute_dataset(data))))
        assert float(sums["sum"]) == pytest.approx(batch["x"].sum(), rel=1e-5)
        assert int(sums["nested"]["count"]) == batch["x"].size


class Poisoned(WeightedRegression):
    """Its gradient is no number, of one variable alone, in the batches that say so."""

    def contributions(self, batch, normalizers, share, key):
        loss, metrics = super().contributions(batch, normalizers, share, key)
        poison = tf.reduce_sum(batch["poison"])
        bias = self.model.trainable_variables[1]
        return loss + poison * tf.reduce_sum(bias.value), metrics


def _state(run):
    step, objective = run
    variables = [*objective.model.variables, *step.optimizer.variables, step.history]
    return [np.asarray(v.numpy()).tobytes() for v in variables]


def _poisoned_step(strategy, **options):
    with strategy.scope():
        objective = Poisoned()
        optimizer = adamw(0.1)
        optimizer.build(objective.model.trainable_variables)
    variables = objective.model.trainable_variables
    return TrainStep(objective, variables, optimizer, strategy, **options), objective


def _call(step, batch, index):
    strategy = step.strategy
    data = tf.data.Dataset.from_tensors(batch)
    return step(next(iter(strategy.experimental_distribute_dataset(data))), index)


@pytest.mark.parametrize("poison", [float("nan"), *long_cases(float("inf"))])
@pytest.mark.parametrize(
    ("strategy", "options"),
    [
        (_one_device, {"jit_compile": True, "max_gradient_norm": 1.0}),
        (_mirrored, {"gradient_accumulation_steps": 2}),
        *long_cases(
            (_one_device, {}),
            (_one_device, {"parts_at_once": 2}),
            (_mirrored, {"max_gradient_norm": 1.0}),
        ),
    ],
)
def test_an_update_that_is_no_number_changes_no_bit(strategy, options, poison):
    run = _poisoned_step(strategy(), **options)
    good, bad = ({**batch, "poison": np.zeros(BATCH, "float32")} for batch in _batches(2))
    # In one row, so of one replica and one micro-batch alone.
    bad["poison"][-1] = poison
    assert float(_call(run[0], good, 0)["applied"]) == 1
    before = _state(run)
    metrics = _call(run[0], bad, 1)
    assert float(metrics["applied"]) == 0
    assert _state(run) == before
    assert np.isfinite(metrics["gradient_squares"]).tolist() == [True, False, True, True]
    assert float(_call(run[0], good, 2)["applied"]) == 1
    assert _state(run) != before


@pytest.mark.parametrize(
    ("strategy", "refuse"),
    [(_one_device, False), (_mirrored, True), *long_cases((_one_device, True), (_mirrored, False))],
)
def test_a_spike_is_applied_unless_it_is_refused(strategy, refuse):
    run = _poisoned_step(strategy(), refuse_spikes=refuse)
    run[0].history.assign([60.0, 0.0, 0.0, 0.01, 0.01])
    batch = {**next(_batches(1)), "poison": np.full(BATCH, 1e6, "float32")}
    before = _state(run)
    metrics = _call(run[0], batch, 0)
    assert float(metrics["spike"]) == 1
    assert float(metrics["applied"]) == (0 if refuse else 1)
    assert (_state(run) == before) == refuse


@pytest.mark.parametrize("options", [{}, {"jit_compile": True}, {"static_shapes": True}], ids=str)
def test_shapes_may_vary_where_nothing_is_compiled(options):
    seen = []

    class Observed(WeightedRegression):
        def contributions(self, *inputs):
            seen.append(shapes_may_vary())
            return super().contributions(*inputs)

        def evaluation_sums(self, batch):
            seen.append(shapes_may_vary())
            return {"error": tf.reduce_sum(self.model(batch["x"]))}

    objective, strategy = Observed(), tf.distribute.get_strategy()
    optimizer = adamw(0.1)
    optimizer.build(objective.model.trainable_variables)
    variables = objective.model.trainable_variables
    (batch,) = _batches(1)
    TrainStep(objective, variables, optimizer, strategy, **options)(batch, 0)
    assert seen and set(seen) == {not options}
    seen.clear()
    jit_compile = options.get("jit_compile", False)
    EvaluationStep(objective.evaluation_sums, strategy, jit_compile)(batch)
    assert seen and set(seen) == {not jit_compile}


@pytest.mark.parametrize(
    ("share", "jit_compile"), [(0.25, False), *long_cases((0.25, True), (4.0, False), (4.0, True))]
)
def test_the_update_is_the_gradient_clipped_to_its_global_norm(share, jit_compile):
    """At a rate of 1 SGD moves by the gradient itself."""

    def moved(max_gradient_norm):
        objective = WeightedRegression()
        variables = objective.model.trainable_variables
        before = [v.numpy() for v in variables]
        optimizer = keras.optimizers.SGD(1.0)
        optimizer.build(variables)
        step = TrainStep(
            objective, variables, optimizer, tf.distribute.get_strategy(),
            max_gradient_norm=max_gradient_norm, jit_compile=jit_compile,
        )  # fmt: skip
        (batch,) = _batches(1)
        norm = float(step(batch, 0)["gradient_norm"])
        return np.concatenate(
            [np.ravel(b - v) for b, v in zip(before, variables, strict=True)]
        ), norm

    whole, norm = moved(None)
    clipped, same = moved(share * norm)
    assert same == pytest.approx(norm) == pytest.approx(np.linalg.norm(whole), rel=1e-5)
    np.testing.assert_allclose(clipped, min(share, 1.0) * whole, rtol=1e-4, atol=1e-5)
