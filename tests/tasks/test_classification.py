import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipelines.settings import DataSettings
from pipelines.tokenizers import sentencepiece_training
from sparse_mixer_tf.settings import ModelSettings, SettingsError, TrainingSettings
from sparse_mixer_tf.tasks import Classification, Pretraining
from sparse_mixer_tf.training.distributed.strategy import mirrored
from sparse_mixer_tf.training.eval_step import EvaluationStep, evaluation_sums
from tests.tfds_folders import write_prepared

NOUNS = ("river", "stone", "window", "garden", "letter", "paper", "engine", "bridge")


@pytest.fixture(scope="module")
def words():
    lines = [f"{a} {b} {c}" for a in NOUNS for b in NOUNS for c in NOUNS]
    return sentencepiece_training.train(lines, 60)


def _dataset(folder, labels) -> DataSettings:
    draw = np.random.default_rng(0)
    for split, count in (("train", 30), ("validation", 37)):
        rows = [
            {"text": " ".join(draw.choice(NOUNS, 4)), "label": labels[n % len(labels)]}
            for n in range(count)
        ]
        (folder / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return DataSettings(
        dataset=str(folder / "{split}.jsonl"), text_fields="text", max_seq_length=12
    )


def _task(
    settings, words, architecture="sf", batch=8, labels=("no", "yes"), **model
) -> Classification:
    keras.utils.set_random_seed(0)
    model = ModelSettings(architecture, d_model=16, d_ff=32, num_heads=2, num_experts=2, **model)
    training = TrainingSettings(task="classify", train_batch_size=8, eval_batch_size=batch)
    task = Classification(model, training, settings)
    task.restore(words, {"labels": list(labels)})
    task.open_data()
    task.build()
    return task


def _evaluate(task, strategy=None, num_batches=None):
    strategy = strategy or tf.distribute.get_strategy()
    stream = task.evaluation_stream(num_batches)
    step = EvaluationStep(task.evaluation_sums, strategy)
    return evaluation_sums(strategy.experimental_distribute_dataset(stream), step)


def test_more_segments_than_the_model_knows_are_refused(tmp_path, words):
    (tmp_path / "spm.model").write_bytes(words.model_bytes)
    settings = dataclasses.replace(
        _dataset(tmp_path, ("no", "yes")),
        text_fields="text,label",
        vocab_filepath=str(tmp_path / "spm.model"),
    )
    model = ModelSettings("sf", d_model=16, d_ff=32, num_heads=2, num_segments=1)
    task = Classification(model, TrainingSettings(task="classify"), settings)
    with pytest.raises(SettingsError, match="has 2 segments a text, the model knows --num_segm"):
        task.open_data()
    task = Classification(dataclasses.replace(model, num_segments=2), task.settings, settings)
    task.open_data()
    with pytest.raises(SettingsError, match="--pair_objective=order has two segments a row"):
        Pretraining(model, TrainingSettings(), settings)


def test_scores_do_not_depend_on_the_batch_size(tmp_path, words):
    settings = _dataset(tmp_path, ("no", "yes"))
    found = []
    for batch in (1, 5, 8, 37, 64):
        task = _task(settings, words, batch=batch)
        sums = _evaluate(task)
        found.append((task.summary(sums), sums["outputs"]))
    for metrics, outputs in found[1:]:
        assert metrics["accuracy"] == found[0][0]["accuracy"]
        assert metrics["macro_f1"] == found[0][0]["macro_f1"]
        assert metrics["loss"] == pytest.approx(found[0][0]["loss"], abs=1e-6)
        np.testing.assert_allclose(outputs, found[0][1], atol=1e-6)


def test_scores_do_not_depend_on_the_replicas(tmp_path, words):
    settings = _dataset(tmp_path, ("no", "yes"))
    alone = _evaluate(_task(settings, words))
    strategy = mirrored(("CPU:0", "CPU:1"))
    with strategy.scope():
        task = _task(settings, words)
    together = _evaluate(task, strategy)
    np.testing.assert_allclose(together["outputs"], alone["outputs"], atol=1e-6)
    assert together["loss"]["count"] == alone["loss"]["count"] == 37


def test_the_table_holds_what_the_model_says_of_each_example(tmp_path, words):
    task = _task(_dataset(tmp_path, ("no", "yes")), words)
    sums = _evaluate(task)
    held_out = task.held_out["validation"]
    rows = held_out.rows(np.arange(len(held_out)))
    direct = task.model({name: rows[name] for name in task.model.input})
    np.testing.assert_allclose(sums["outputs"], direct, atol=1e-6)
    summary = task.summary(sums)
    assert np.sum(summary["confusion"]) == 37
    assert summary["accuracy"] == pytest.approx(np.trace(summary["confusion"]) / 37)
    assert summary["score"] == pytest.approx((summary["accuracy"] + summary["macro_f1"]) / 2)
    assert summary["error"] == pytest.approx(1 - summary["score"])


def test_of_a_part_of_the_split_only_whole_questions_count(tmp_path, words):
    task = _task(_dataset(tmp_path, ("no", "yes")), words)
    sums = _evaluate(task, num_batches=2)
    (said,) = task.predictions(sums).values()
    assert len(said.labels) == 16
    held_out = task.held_out["validation"]
    object.__setattr__(
        held_out,
        "examples",
        [e._replace(question=n // 3) for n, e in enumerate(held_out.examples)],
    )
    (said,) = task.predictions(sums).values()
    assert len(said.labels) == 15
    sums["seen"] = np.zeros_like(sums["seen"])
    with pytest.raises(SettingsError, match="no whole question .* with --eval_batch_size=8"):
        task.summary(sums)


def test_mistakes_come_most_confident_first(tmp_path, words):
    task = _task(_dataset(tmp_path, ("no", "yes")), words)
    samples = task.samples(_evaluate(task))
    sizes = [sample["size"] for sample in samples]
    assert sizes == sorted(sizes, reverse=True) and 0.5 <= sizes[0] <= 1
    assert all(sample["truth"] != sample["said"] for sample in samples)
    assert len(task.sample_lines(samples)) == 2 * len(samples)


def test_the_contributions_of_parts_add_up_to_the_whole(tmp_path, words):
    task = _task(_dataset(tmp_path, ("no", "yes")), words, dropout_rate=0, attention_dropout_rate=0)
    batch = next(iter(task.train_stream(0)))
    normalizers = task.normalizers(batch)
    key = tf.constant([0, 0], tf.uint32)
    parts = [{name: x[rows] for name, x in batch.items()} for rows in (slice(0, 3), slice(3, 8))]
    found = [task.contributions(part, normalizers, 0.5, key) for part in parts]
    logits = np.asarray(task.model({name: batch[name] for name in task.model.input}))
    labels = batch["labels"].numpy()
    right = np.mean(logits.argmax(-1) == labels)
    nats = np.mean(np.log(np.exp(logits).sum(-1)) - logits[np.arange(8), labels])
    assert sum(float(metrics["accuracy"]) for _, metrics in found) == pytest.approx(right)
    assert sum(float(loss) for loss, _ in found) == pytest.approx(nats, rel=1e-5)


def test_factors_times_the_batch_give_the_published_loss_times_the_batch(tmp_path, words):
    data, key = _dataset(tmp_path, ("no", "yes")), tf.constant([0, 0], tf.uint32)
    batch_size, factors = 8, {"balance_loss_factor": 0.01, "router_z_loss_factor": 1e-4}
    found = []
    for scale in (1, batch_size):
        scaled = {name: scale * factor for name, factor in factors.items()}
        task = _task(data, words, "sg", router="tokens_choose", dropout_rate=0, **scaled)
        batch = next(iter(task.train_stream(0)))
        loss, metrics = task.contributions(batch, task.normalizers(batch), 1.0, key)
        found.append((float(loss), float(metrics["task_loss"])))
    (loss, task_loss), (scaled_loss, same_task_loss) = found
    assert task_loss == pytest.approx(same_task_loss) and loss > task_loss + 0.01
    # The published loss: the mean, divided by the batch once more, and the losses of the routers.
    published = task_loss / batch_size + (loss - task_loss)
    assert scaled_loss == pytest.approx(batch_size * published, rel=1e-5)


def test_a_regression_has_one_output_and_squared_errors(tmp_path, words):
    draw = np.random.default_rng(0)
    records = [
        {
            "sentence1": " ".join(draw.choice(NOUNS, 3)),
            "sentence2": " ".join(draw.choice(NOUNS, 3)),
            "label": draw.uniform(0, 5),
            "idx": number,
        }
        for number in range(150)
    ]
    write_prepared(tmp_path, "glue/stsb", {"train": records[:50], "validation": records[50:]})
    settings = DataSettings(dataset="glue/stsb", data_dir=str(tmp_path), max_seq_length=12)
    task = _task(settings, words, batch=64, labels=())
    assert task.model.output_shape == (None, 1)
    sums = _evaluate(task)
    labels = task.held_out["validation"].labels
    errors = np.square(sums["outputs"][:, 0] - labels)
    summary = task.summary(sums)
    assert summary["task_loss"] == pytest.approx(errors.mean(), rel=1e-4)
    assert "confusion" not in summary
    worst = task.samples(sums)[0]
    assert worst["size"] == pytest.approx(np.sqrt(errors.max()), abs=1e-3)


def test_experts_report_their_load(tmp_path, words):
    task = _task(_dataset(tmp_path, ("no", "yes")), words, architecture="sg")
    summary = task.summary(_evaluate(task))
    (load,) = summary["expert_load"].values()
    assert len(load) == 2 and 0 <= summary["dropped_fraction"] <= 1
    assert 0 < summary["expert_usage"] <= 1


def test_examples_without_labels_give_outputs_and_no_loss(tmp_path, words):
    task = _task(_dataset(tmp_path, ("no", "yes")), words)
    labelled = _evaluate(task)["outputs"]
    secret = task.evaluation_stream(None).map(
        lambda b: b | {"labels": tf.zeros_like(b["labels"]) - 1}
    )
    sums = evaluation_sums(
        secret, EvaluationStep(task.evaluation_sums, tf.distribute.get_strategy())
    )
    np.testing.assert_array_equal(sums["outputs"], labelled)
    assert sums["loss"] == {"loss": 0.0, "correct": 0.0, "count": 0.0}
