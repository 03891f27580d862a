"""Experts apart on replicas: the same numbers as experts together, less of them on each replica."""

import re
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from sparse_mixer_tf.layers import MixtureOfExperts, RoutingSettings, random_key
from sparse_mixer_tf.layers.moe.expert_parallel import experts_apart
from sparse_mixer_tf.settings import SettingsError
from sparse_mixer_tf.training.checkpoint import Checkpoints, named
from sparse_mixer_tf.training.distributed.expert_parallel import (
    ExpertExchange,
    check_expert_parallel,
)
from sparse_mixer_tf.training.distributed.strategy import mirrored
from sparse_mixer_tf.training.eval_step import EvaluationStep
from sparse_mixer_tf.training.optimizers import make_optimizer
from sparse_mixer_tf.training.train_step import TrainStep
from tests.long_cases import long_cases, quick_among

ROUTERS = ("experts_choose", "tokens_choose", "dropless")
BATCH, SEQ, D_MODEL = 8, 6, 8


class Objective:
    """Regression by a dense layer and experts, with padding; groups are single rows."""

    def __init__(self, router="experts_choose", dtype="float32", **options):
        keras.utils.set_random_seed(0)
        routing = RoutingSettings(4, router=router, num_selected_experts=2, max_group_size=SEQ)
        self.dense = keras.layers.Dense(D_MODEL, name="dense", dtype=dtype)
        self.moe = MixtureOfExperts(16, routing, name="moe", dtype=dtype, **options)
        self.dense.build((None, SEQ, D_MODEL))
        self.moe.build((None, SEQ, D_MODEL))
        self.variables = [*self.dense.trainable_variables, *self.moe.trainable_variables]

    def normalizers(self, batch):
        return {"rows": tf.cast(tf.shape(batch["x"])[0], tf.float32)}

    def outputs(self, batch, training):
        hidden = self.dense(batch["x"])
        answer = hidden + self.moe(hidden, padding_mask=batch["real"], training=training)
        return tf.cast(answer, tf.float32)

    def contributions(self, batch, normalizers, share, key):
        with random_key(key):
            error = self.outputs(batch, training=True) - batch["y"]
        loss = tf.reduce_sum(tf.square(error)) / normalizers["rows"]
        return loss + share * sum(self.moe.losses), {"task": loss}


def _batch(strategy, step):
    random = np.random.RandomState(step)
    x, y = random.randn(2, BATCH, SEQ, D_MODEL).astype("float32")
    batch = {"x": x, "y": y, "real": random.rand(BATCH, SEQ) < 0.8}
    return strategy.experimental_distribute_values_from_function(
        lambda context: {
            name: tf.constant(
                np.split(array, strategy.num_replicas_in_sync)[context.replica_id_in_sync_group]
            )
            for name, array in batch.items()
        }
    )


def _made(replicas, optimizer="adamw", apart=True, accumulation=1, rate=0.01, **options):
    """Everything that a training on so many replicas consists of."""
    devices = tuple(f"CPU:{index}" for index in range(replicas))
    strategy = mirrored(devices) if replicas > 1 else tf.distribute.get_strategy()
    exchange = ExpertExchange(strategy) if replicas > 1 and apart else None
    with strategy.scope(), experts_apart(exchange):
        objective = Objective(**options)
        optimizer = make_optimizer(optimizer, rate, momentum=0.5 * (optimizer == "sgd"))
        build = exchange.build if exchange else type(optimizer).build
        build(optimizer, objective.variables)
    step = TrainStep(
        objective,
        objective.variables,
        optimizer,
        strategy,
        gradient_accumulation_steps=accumulation,
        max_gradient_norm=1.0,
        exchange=exchange,
    )
    whole = exchange.whole_variable if exchange else lambda variable: variable
    for variable in map(whole, objective.moe.trainable_variables):
        variable.assign(10 * variable.numpy())  # So that experts say something, and routers matter.
    groups = {"model": objective.variables, "optimizer": optimizer.variables}
    state = named({name: [whole(v) for v in members] for name, members in groups.items()})
    # Keras numbers the optimizers of a process.
    state = {re.sub(r"_\d+/", "/", name): variable for name, variable in state.items()}
    return SimpleNamespace(
        strategy=strategy, exchange=exchange, objective=objective, step=step, state=state
    )


def _trained(made, steps):
    rows = [made.step(_batch(made.strategy, step), step) for step in steps]
    return np.array([[row["loss"], row["gradient_norm"]] for row in rows])


def _assert_same_state(ours, theirs):
    assert sorted(ours.state) == sorted(theirs.state)
    for name, variable in theirs.state.items():
        np.testing.assert_allclose(
            ours.state[name].numpy(), variable.numpy(), rtol=1e-4, atol=2e-5, err_msg=name
        )


@pytest.mark.parametrize(
    ("router", "replicas", "accumulation"),
    [
        ("tokens_choose", 2, 2),
        ("dropless", 2, 1),
        *long_cases(
            ("experts_choose", 2, 1),
            ("experts_choose", 2, 2),
            ("tokens_choose", 2, 1),
            ("dropless", 2, 2),
        ),
    ],
)
def test_losses_norms_weights_and_optimizer_are_those_of_one_device(router, replicas, accumulation):
    # Unlike AdamW, SGD does not make much of a gradient that is hardly more than rounding.
    one = _made(1, "sgd", router=router)
    apart = _made(replicas, "sgd", router=router, accumulation=accumulation)
    np.testing.assert_allclose(_trained(apart, range(4)), _trained(one, range(4)), rtol=1e-5)
    _assert_same_state(apart, one)


@pytest.mark.parametrize("optimizer", ["adagrad", *long_cases("adamw", "adam")])
def test_every_optimizer_updates_experts_where_they_are(optimizer):
    one, apart = _made(1, optimizer), _made(2, optimizer)
    np.testing.assert_allclose(_trained(apart, range(4)), _trained(one, range(4)), rtol=1e-5)
    _assert_same_state(apart, one)


def test_a_replica_holds_its_own_experts_and_their_optimizer_state_alone():
    apart = _made(2)
    kernels = {name: v for name, v in apart.state.items() if "kernel_in" in name}
    assert len(kernels) == 3  # The weight and both moments.
    for variable in kernels.values():
        own = variable._variable.value.values
        assert [part.shape for part in own] == [(2, D_MODEL, 16)] * 2
        assert variable.shape == (4, D_MODEL, 16)
    first, second = apart.objective.moe.experts.kernel_in.value.values
    assert not np.array_equal(first.numpy(), second.numpy())
    together = _made(1)
    bytes_together = sum(variable.numpy().nbytes for variable in together.state.values())
    of_experts = [v.numpy().nbytes for name, v in together.state.items() if "experts" in name]
    held = bytes_together - sum(of_experts) / 2
    variables = [*apart.objective.variables, *apart.step.optimizer.variables]
    assert apart.exchange.memory_line(variables) == (
        f"experts on 2 replicas: each holds {held / 2**20:,.1f} MiB of weights and optimizer "
        f"state, not {bytes_together / 2**20:,.1f} MiB"
    )


@pytest.mark.parametrize(("before", "after"), [(2, 1), *long_cases((1, 2))])
def test_a_checkpoint_goes_on_with_any_other_number(tmp_path, before, after):
    first, second, whole = _made(before), _made(after), _made(1)
    _trained(first, range(2))
    Checkpoints(tmp_path, first.state).save(2, {})
    assert Checkpoints(tmp_path, second.state).restore_latest()["step"] == 2
    _assert_same_state(second, first)
    rest = _trained(second, range(2, 4))
    np.testing.assert_allclose(rest, _trained(whole, range(4))[2:], rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_outside_of_the_replicas_the_model_is_whole(dtype):
    apart, one = _made(2, dtype=dtype), _made(1, dtype=dtype)
    x = np.random.RandomState(3).randn(2, SEQ, D_MODEL).astype("float32")
    with apart.strategy.scope():
        ours = apart.objective.moe(x)
    assert ours.dtype == ("float32" if dtype == "float32" else "bfloat16")
    np.testing.assert_allclose(
        tf.cast(ours, "float32"), tf.cast(one.objective.moe(x), "float32"), atol=1e-6
    )


@pytest.mark.parametrize("router", quick_among(["experts_choose"], ROUTERS))
def test_evaluation_meets_all_experts(router):
    sums = []
    for replicas in (1, 2):
        made = _made(replicas, router=router)
        step = EvaluationStep(
            lambda batch, made=made: {"sum": tf.reduce_sum(made.objective.outputs(batch, False))},
            made.strategy,
        )
        sums.append(float(step(_batch(made.strategy, 0))["sum"]))
    assert sums[0] == pytest.approx(sums[1], rel=1e-5)


def test_dropout_is_another_on_every_replica():
    # The same rows everywhere: replicas whose masks were alike would contribute the same loss.
    apart = _made(2, rate=0.0, dropout_rate=0.5)
    row = np.random.RandomState(0).randn(1, SEQ, D_MODEL).astype("float32")
    batch = apart.strategy.experimental_distribute_values_from_function(
        lambda _: {
            "x": tf.repeat(row, 4, 0),
            "y": tf.zeros((4, SEQ, D_MODEL)),
            "real": tf.ones((4, SEQ), tf.bool),
        }
    )

    @tf.function
    def losses():
        def of_replica(batch):
            context = tf.distribute.get_replica_context()
            key = tf.cast(tf.stack([context.replica_id_in_sync_group, 7]), tf.uint32)
            with random_key(key):
                return tf.reduce_sum(apart.objective.outputs(batch, training=True))

        return apart.strategy.run(of_replica, (batch,))

    first, second = apart.strategy.experimental_local_results(losses())
    assert float(first) != float(second)


def test_what_is_exchanged_in_bfloat16_stays_bfloat16(monkeypatch):
    sent = []
    all_to_all = ExpertExchange.all_to_all

    def recorded(self, x, bound=None):
        sent.append(x.dtype)
        return all_to_all(self, x, bound)

    monkeypatch.setattr(ExpertExchange, "all_to_all", recorded)
    losses = _trained(_made(2, dtype="mixed_bfloat16"), range(1))
    assert np.isfinite(losses).all() and set(sent) == {tf.bfloat16}


SIZES = SimpleNamespace(architecture="fg", num_experts=6)


@pytest.mark.parametrize(
    ("parts", "replicas", "changes", "message"),
    [
        (2, 2, {"architecture": "ff"}, "has no experts"),
        (4, 2, {}, "use --expert_parallel=2, or --virtual_devices=4"),
        (2, 1, {}, "there are 1; use --virtual_devices=2"),
        (4, 4, {}, "--num_experts=6 is not divisible by --expert_parallel=4; use 4 or 8"),
        (2, 2, {"jit_compile": "true"}, "use --jit_compile=auto"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_would(parts, replicas, changes, message):
    settings = SimpleNamespace(**vars(SIZES) | {"jit_compile": "auto"} | changes)
    with pytest.raises(SettingsError, match=message):
        check_expert_parallel(parts, replicas, settings, settings)
