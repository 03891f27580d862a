"""The original Brainformer's training: four steps and a full evaluation, by task and train step."""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from pipelines.settings import DataSettings
from sparse_mixer_tf.settings import ModelSettings, TrainingSettings
from sparse_mixer_tf.tasks import LanguageModel
from sparse_mixer_tf.training.eval_step import EvaluationStep, evaluation_sums
from sparse_mixer_tf.training.optimizers import make_optimizer
from sparse_mixer_tf.training.recurrent_state import carried_memory
from sparse_mixer_tf.training.train_step import TrainStep
from tests.long_cases import long_cases
from tests.models.test_brainformer_reference import in_our_layout, load, their_name
from tests.reference_files import reference_names


def task_of(config) -> LanguageModel:
    model = ModelSettings(
        architecture=config["arch"],
        share_block_weights=True,
        d_model=config["H"],
        d_ff=config["inner"],
        num_heads=config["heads"],
        dropout_rate=0.0,
        router="dropless",
        gate="top_k",
        num_selected_experts=2,
        balance_loss_factor=0.0,
        router_z_loss_factor=0.0,
        activation="relu",
        initializer="torch",
        attn_span=config["span"],
        adapt_span=config["adapt"],
        adapt_span_loss=config["span_loss"],
        adapt_span_ramp=config["ramp"],
    )
    training = TrainingSettings(task="causal_lm", train_steps=config["opt_steps"], warmup_steps=0)
    task = LanguageModel(model, training, DataSettings(tokenizer="byte", block_size=32))
    task.restore(SimpleNamespace(size=config["vocab"]), {})
    task.build()
    return task


def batches(ids, block):
    for start in range(0, ids.shape[1] - 1, block):
        part = tf.constant(ids[:, start : start + block + 1], tf.int32)
        yield {
            "token_ids": part[:, :-1],
            "targets": part[:, 1:],
            "starts_anew": tf.fill([len(ids)], start == 0),
            "target_weights": tf.ones_like(part[:, 1:], tf.float32),
        }


@pytest.mark.parametrize("jit_compile", [False, *long_cases(True)])
@pytest.mark.parametrize("name", reference_names("brainformer", "full_*"))
def test_four_steps_and_a_full_evaluation_match(name, jit_compile):
    reference, config = load(name)
    task = task_of(config)
    variables = task.model.trainable_variables
    names = [their_name(v.path, config["arch"]) for v in variables]
    for variable, theirs in zip(variables, names, strict=True):
        variable.assign(in_our_layout(reference[f"param/{theirs}"], theirs))
    optimizer = make_optimizer("adagrad", config["lr"], max_tensor_norm=config["grad_clip"])
    optimizer.build(variables)
    strategy = tf.distribute.get_strategy()
    step = TrainStep(
        task,
        variables,
        optimizer,
        strategy,
        gradient_accumulation_steps=config["batch_split"],
        jit_compile=jit_compile,
        memory=carried_memory(task.initial_memory, config["batch"], strategy),
    )
    rates = reference["f64/train/lr_used"]
    assert rates[0] == 0
    task.static_choices(0)
    # Long enough for spans that grow in these steps.
    task.model.backbone.attend_to([config["span"]] * len(task.model.backbone.attentions))
    seen = config["span"]
    for number, (batch, rate) in enumerate(
        zip(batches(reference["ids"], config["block"]), rates, strict=False)
    ):
        optimizer.learning_rate = rate
        seen = min(seen, _greatest_span(task))
        metrics = step(batch, number)
        expected = reference["f64/train/losses"][number]
        np.testing.assert_allclose(metrics["next_loss"], expected, rtol=2e-5)

    for variable, theirs in zip(variables, names, strict=True):
        expected = in_our_layout(reference[f"f64/train/param_after/{theirs}"], theirs)
        ours = np.asarray(variable)
        if theirs == "key_pe":
            # Outside every learned span gradients are rounding, which Adagrad makes whole steps of.
            ours, expected = ours[-seen:], expected[-seen:]
        np.testing.assert_allclose(ours, expected, atol=2e-4, err_msg=theirs)

    evaluation = EvaluationStep(
        task.evaluation_sums, strategy, jit_compile, initial_memory=task.initial_memory
    )
    sums = evaluation_sums(batches(reference["ids"], config["block"]), evaluation)["tokens"]
    np.testing.assert_allclose(
        sums["loss"] / sums["count"], reference["f64/full_eval_loss"], rtol=5e-5
    )


def _greatest_span(task) -> int:
    model = task.model_settings
    if not model.adapt_span:
        return model.attn_span
    spans = task.model.backbone.learned_spans().values()
    return min(model.attn_span, int(np.ceil(max(map(np.max, spans)))) + model.adapt_span_ramp)
