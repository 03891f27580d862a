"""The pre-training model: two heads on one backbone, and the way from there to KerasHub."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from sparse_mixer_tf.models import PretrainingModel, SparseMixerMaskedLM

POSITIONS = np.array([[0, 3], [2, 5], [11, 1]], "int32")


@pytest.fixture
def inputs(batch):
    return {**batch, "mask_positions": POSITIONS}


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("d_emb", [None, 6])
def test_logits_are_float32_and_of_the_documented_shapes(make_backbone, inputs, d_emb, dtype):
    outputs = PretrainingModel(make_backbone(d_emb=d_emb, dtype=dtype))(inputs)
    assert {name: (value.shape, value.dtype) for name, value in outputs.items()} == {
        "mlm_logits": ((3, 2, 60), "float32"),
        "order_logits": ((3, 2), "float32"),
    }


def test_without_an_order_head_there_are_no_order_logits(make_backbone, inputs):
    model = PretrainingModel(make_backbone(), order_head=False)
    assert list(model(inputs)) == ["mlm_logits"]
    assert not [weight.path for weight in model.weights if "order" in weight.path]


def test_the_word_table_is_one_weight_with_the_gradients_of_both_its_uses(make_backbone, inputs):
    model = PretrainingModel(make_backbone("sf"))
    tables = [w for w in model.trainable_weights if tuple(w.shape) == (60, 8)]
    assert len(tables) == 1
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(inputs)["mlm_logits"] ** 2)
    gradient = tf.convert_to_tensor(tape.gradient(loss, tables[0].value)).numpy()
    # The output projection reaches every row, a lookup only the rows of the batch.
    unseen = np.setdiff1d(np.arange(60), inputs["token_ids"])
    assert np.abs(gradient[unseen]).max() > 0


@pytest.mark.parametrize("order_head", [True, False])
def test_a_saved_model_gives_the_same_outputs(make_backbone, inputs, tmp_path, order_head):
    model = PretrainingModel(make_backbone(d_emb=6), order_head=order_head)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.get_config() == model.get_config()
    expected, actual = model(inputs), again(inputs)
    assert expected.keys() == actual.keys()
    for name in expected:
        np.testing.assert_array_equal(actual[name], expected[name])


def test_the_masked_lm_made_of_it_shares_its_layers_and_makes_a_preset(
    make_backbone, inputs, tmp_path
):
    model = PretrainingModel(make_backbone())
    masked_lm = model.to_masked_lm()
    assert masked_lm.backbone is model.backbone
    masked_lm.save_to_preset(tmp_path)
    again = SparseMixerMaskedLM.from_preset(str(tmp_path), preprocessor=None)
    np.testing.assert_array_equal(again(inputs), model(inputs)["mlm_logits"])


def test_the_balance_loss_of_the_experts_is_among_the_losses(make_backbone, inputs):
    routing = {"num_experts": 4, "router": "tokens_choose"}
    model = PretrainingModel(make_backbone("gs", routing=routing))
    model(inputs)
    balance, z_loss = sorted(float(loss) for loss in model.losses)[::-1]
    # A balance of about 1 times its weight; below it where the load and the router disagree.
    assert 0.008 <= balance < 0.04 and 0 < z_loss < 1e-3
