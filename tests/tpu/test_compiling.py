"""Small models through the real TPU compiler."""

import importlib.util

import numpy as np
import pytest
import tensorflow as tf

from pipelines.settings import DataSettings
from sparse_mixer_tf.settings import ModelSettings, SettingsError, TrainingSettings
from sparse_mixer_tf.tasks import TASKS
from sparse_mixer_tf.tpu import compiling, programs
from sparse_mixer_tf.tpu.chips import parse_topology
from sparse_mixer_tf.tpu.compiling import Refused, compile_modules
from sparse_mixer_tf.tpu.lowering import lower
from tests.tpu.jitted import jitted

TOPOLOGY = parse_topology("v5e:2x2")
SMALL = {"d_model": 16, "d_ff": 32, "num_heads": 2, "num_experts": 4, "attn_span": 16}


def small_task(task="pretrain", optimizer="sgd", precision="mixed_bfloat16", parts=1, **model):
    """A task without data, of a model that a chip holds thousands of."""
    training = TrainingSettings(
        task=task, precision=precision, optimizer=optimizer, train_batch_size=16, eval_batch_size=8,
        train_steps=10, warmup_steps=1, gradient_accumulation_steps=parts,
    )  # fmt: skip
    data = DataSettings(
        max_seq_length=32, max_predictions_per_seq=4, vocab_size=64, block_size=16,
        tokenizer="byte" if task == "causal_lm" else "sentencepiece",
    )  # fmt: skip
    made = TASKS[task](ModelSettings(**SMALL | model), training, data)
    made.suppose_data()
    return made


# The compiler takes seconds for each program, so that each holds several things.
TRAINED = {
    "by index": {"architecture": "lrhctg", "mixing_implementation": "fft"},
    "by products": {
        "architecture": "rhctg", "mixing_implementation": "matmul", "dispatch": "einsum",
    },
    "tokens choose": {"architecture": "g", "router": "tokens_choose", "num_selected_experts": 2},
    "tokens choose by products": {
        "architecture": "g", "router": "tokens_choose", "dispatch": "einsum",
    },
    "brainformer": {
        "task": "causal_lm", "architecture": "sgfgfg", "router": "dropless", "adapt_span": True,
        "share_block_weights": True,
    },
    "in parts": {"task": "classify", "precision": "float32", "parts": 2, "architecture": "f"},
}  # fmt: skip


@pytest.mark.long("compiles six models for a TPU, with every sublayer, router and dispatch")
def test_every_sublayer_router_and_dispatch_trains_on_a_tpu(compiler):
    made = [
        programs.lowered(small_task(**model), 4, names=(programs.TRAIN,))[0].module
        for model in TRAINED.values()
    ]
    results = dict(zip(TRAINED, compile_modules(made, TOPOLOGY), strict=True))
    assert not {name: result for name, result in results.items() if isinstance(result, Refused)}
    assert all(r.flops > 0 and r.bytes > 0 and 0 < r.memory < 2**30 for r in results.values())
    assert results["by products"].loops == 0
    assert results["in parts"].loops == 1  # over micro-batches


@pytest.mark.long("compiles three programs; describe does in tests/programs/test_describe.py")
def test_a_task_trains_evaluates_and_serves_on_a_tpu(compiler):
    made = programs.lowered(small_task(optimizer="adamw", architecture="gs"), 4)
    assert [(p.name, p.rows) for p in made] == [
        ("train step", 4),
        ("evaluation step", 2),
        ("serving", 2),
    ]
    train, evaluation, serving = compile_modules([p.module for p in made], TOPOLOGY)
    # Twice the rows, and about three times the products.
    assert 3 * evaluation.flops < train.flops < 9 * evaluation.flops
    assert serving.flops < 1.01 * evaluation.flops


def test_what_the_compiler_counts_is_what_a_product_costs(compiler):
    product = tf.function(lambda x, y: tf.matmul(x, y), jit_compile=True, autograph=False)
    x = tf.zeros([512, 512], tf.bfloat16)
    (result,) = compile_modules([lower("product", product, x, x)], TOPOLOGY)
    assert result.flops == pytest.approx(2 * 512**3, rel=0.01)
    # Factors are read and the product is written; copies to memory on the chip count once more.
    assert 3 * 512 * 512 * 2 <= result.bytes <= 3 * (3 * 512 * 512 * 2)


def test_refusals_name_the_sublayer(compiler):
    functions = {
        "dynamic": lambda x: tf.reduce_sum(tf.boolean_mask(x, x > 0)),
        "op": lambda x: tf.math.real(tf.signal.fft(tf.cast(x, tf.complex128))),
        "memory": lambda x: tf.reduce_sum(tf.sort(tf.tile(x[:, None], [1, 2**25, 1]), axis=0)),
    }
    modules = [lower(name, jitted(f), tf.ones([64, 64])) for name, f in functions.items()]
    results = dict(zip(functions, compile_modules(modules, TOPOLOGY), strict=True))
    assert {name: result.kind for name, result in results.items()} == {
        name: name for name in functions
    }
    assert "set_dimension_size of sublayer_03_g (boolean_mask/Where)" in results["dynamic"].reason
    assert "fft of sublayer_03_g (FFT)" in results["op"].reason
    assert "HBM" in results["memory"].reason


def test_a_slice_that_the_compiler_does_not_know_is_a_users_mistake(compiler):
    module = lower("sine", jitted(tf.sin), tf.ones([8]))
    with pytest.raises(SettingsError, match="--tpu_topology=v5e:3x3"):
        compile_modules([module], parse_topology("v5e:3x3"))


def test_a_missing_compiler_is_told_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        SettingsError, match="needs jax and libtpu.*pip install -r requirements-tpu"
    ):
        compiling.check_installed()


def test_a_batch_that_does_not_divide_over_the_chips_is_refused():
    training = TrainingSettings(train_batch_size=30, train_steps=10, warmup_steps=1)
    with pytest.raises(SettingsError, match="--train_batch_size=30 is not divisible by 4"):
        programs.check_shares(training, 4)


@pytest.mark.parametrize("task", TASKS)
def test_a_task_without_data_is_as_large_as_its_flags_say(task):
    made = small_task(task, architecture="sf")
    made.build()
    tokens = made.batch_schema(16)["token_ids"]
    inputs = {name: np.zeros(s.shape, s.dtype) for name, s in made.batch_schema(16).items()}
    assert tokens.shape == (16, made.tokens_per_row)
    assert set(made.model.input) - {"memory"} <= set(inputs)
