"""The look at a model tells what the model does, whatever its task."""

import json

import numpy as np
import pytest

from pipelines.errors import InputError
from sparse_mixer_tf.analysis import held_out
from sparse_mixer_tf.analysis.inspect_model import look

KINDS = ("pretrain", "classify", "causal_lm")


@pytest.fixture(scope="module", params=KINDS)
def looked_at(request, open_task):
    task = open_task(request.param)
    return task, *look(task, 7)


def test_the_record_is_json_and_names_the_step(looked_at):
    task, record, _ = looked_at
    assert json.loads(json.dumps(record)) == record
    assert record["step"] == 7 and record["task"] == task.settings.task


def test_every_expert_of_every_layer_is_told_of(looked_at):
    task, record, _ = looked_at
    ((name, layer),) = record["experts"].items()
    assert name.startswith("sublayer_01_g")
    assert len(layer["taken"]) == len(layer["words"]) == len(layer["mean_gate"]) == 4
    selected = task.model_settings.num_selected_experts
    if task.settings.task == "causal_lm":
        assert sum(layer["taken"]) == selected * record["tokens"] and layer["untaken"] == 0
    assert len(layer["paragraph"]) == len(record["paragraph"])
    assert any(layer["words"])


def test_the_paragraph_is_the_held_out_text(looked_at):
    task, record, _ = looked_at
    text = "".join(record["paragraph"])
    assert any(word in text.lower() for word in ("red", "green", "three"))
    assert ("[CLS]" in text) == (task.settings.task != "causal_lm")


def test_every_sublayer_has_its_parameters_and_its_time(looked_at):
    task, record, _ = looked_at
    rows = {row["name"]: row for row in record["sublayers"]}
    for layer in task.model.backbone.sublayers:
        assert rows[layer.name]["parameters"] == layer.count_params()
        assert record["forward_seconds"][layer.name] > 0
    if task.settings.task == "pretrain":
        assert sum(row["parameters"] for row in rows.values()) == task.model.count_params()


def test_attention_is_of_one_example_or_by_distance(looked_at):
    task, _, arrays = looked_at
    if task.settings.task == "causal_lm":
        assert arrays["distance/sublayer_00_s/attention"].shape == (2, 24)
        np.testing.assert_allclose(arrays["distance/sublayer_00_s/attention"].sum(-1), 1, rtol=1e-4)
    else:
        attention = arrays["attention/sublayer_02_s/attention"]
        assert attention.shape[0] == 2 and attention.shape[1] == attention.shape[2] <= 24
        np.testing.assert_allclose(attention.sum(-1), 1, atol=0.01)
        assert arrays["mixing/sublayer_00_l"].shape == (24, 24)


def test_without_its_data_a_model_still_tells_of_its_weights(open_task, monkeypatch):
    task = open_task("pretrain")

    def gone(settings=None):
        raise InputError("--dataset=x is gone")

    monkeypatch.setattr(task, "open_data", gone)
    record, arrays = look(task, 1)
    assert record["no_data"] == "--dataset=x is gone" and record["sublayers"]
    assert "experts" not in record and "mixing/sublayer_00_l" in arrays


def test_shared_weights_are_told_apart_by_their_use(open_task):
    task = open_task("causal_lm", architecture="gfg", share_block_weights=True)
    record, _ = look(task, 1)
    assert list(record["experts"]) == ["sublayer_00_g/moe", "sublayer_00_g/moe, use 2"]
    (reused,) = (row for row in record["sublayers"] if row["name"] == "sublayer_02_g")
    assert reused["kind"].endswith("(weights reused)")
    assert reused["parameters"] == 0


def test_half_precision_is_looked_at_all_the_same(open_task):
    record, arrays = look(open_task("pretrain", precision="mixed_bfloat16"), 1)
    assert record["experts"] and record["forward_seconds"]["sublayer_01_g"] > 0
    assert all(np.isfinite(array).all() for array in arrays.values())


def test_memory_is_full_before_anything_is_counted(open_task):
    task = open_task("causal_lm")
    seen = list(held_out.looks(task, task, tokens=128))
    first = next(iter(task.evaluation_stream(3)))["token_ids"].numpy()
    # A span of 24 is two blocks of 16.
    assert len(seen) == 2 and not np.array_equal(seen[0].token_ids, first)
    third = [batch["token_ids"].numpy() for batch in task.evaluation_stream(3)][2]
    np.testing.assert_array_equal(seen[0].token_ids, third)


def test_the_example_is_the_longest_row_and_padding_is_not_counted(open_task):
    task = open_task("classify")
    batch = next(iter(task.evaluation_stream(1)))
    seen = next(held_out.looks(task, task, tokens=96))
    lengths = batch["padding_mask"].numpy().sum(-1)
    assert seen.example == lengths.argmax() and seen.real.sum() == lengths.sum()
    gates = seen.gates["sublayer_01_g/moe"]
    assert not gates[~seen.real].any()
