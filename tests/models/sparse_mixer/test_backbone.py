"""The backbone is what its architecture string says, and travels as a Keras model does."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from sparse_mixer_tf.layers import RoutingSettings
from sparse_mixer_tf.models import SparseMixerBackbone
from tests.long_cases import long_cases

ALL_LETTERS = "srhlctfg"


def assert_same_outputs(first, second, batch, **tolerance):
    expected, actual = first(batch), second(batch)
    assert expected.keys() == actual.keys()
    for name in expected:
        np.testing.assert_allclose(actual[name], expected[name], err_msg=name, **tolerance)


@pytest.mark.parametrize("d_emb", [6, *long_cases(None)])
@pytest.mark.parametrize("letter", ALL_LETTERS)
def test_every_sublayer_gives_outputs_of_the_documented_shapes(make_backbone, batch, letter, d_emb):
    outputs = make_backbone(letter, d_emb=d_emb)(batch)
    assert {name: tuple(value.shape) for name, value in outputs.items()} == {
        "sequence_output": (3, 12, 8),
        "pooled_output": (3, 8),
    }


def test_weight_paths_name_position_and_letter_of_their_sublayer(make_backbone):
    first, second = make_backbone("l.2*(gs)"), make_backbone("l.2*(gs)")
    paths = [weight.path for weight in first.trainable_weights]
    assert paths == [weight.path for weight in second.trainable_weights]
    assert {path.split("/")[0] for path in paths} == {
        "embedding", "sublayer_00_l", "sublayer_01_g", "sublayer_02_s", "sublayer_03_g",
        "sublayer_04_s", "pooler",
    }  # fmt: skip
    assert {"sublayer_00_l/mixing/input_kernel", "sublayer_01_g/moe/router/kernel"} < set(paths)


@pytest.mark.parametrize("letters", [ALL_LETTERS, "sf"])
def test_the_config_round_trips_through_json_and_every_argument_is_an_attribute(
    make_backbone, letters
):
    backbone = make_backbone(letters, d_emb=6, expert_d_ff=10, mask_padded_queries=True, name="b")
    config = json.loads(json.dumps(backbone.get_config()))
    again = SparseMixerBackbone.from_config(config)
    assert again.get_config() == backbone.get_config()
    assert [w.shape for w in again.weights] == [w.shape for w in backbone.weights]
    for name in config.keys() - {"dtype"}:
        value = getattr(backbone, name)
        assert (value.to_dict() if isinstance(value, RoutingSettings) else value) == config[name]


@pytest.mark.parametrize("letters, same", [("sfs", True), ("sr", False)])
def test_masking_padded_queries_changes_real_tokens_where_mixing_follows(
    make_backbone, batch, letters, same
):
    keras.utils.set_random_seed(0)
    masked, plain = (make_backbone(letters, mask_padded_queries=one) for one in (True, False))
    plain.set_weights(masked.get_weights())
    real = batch["padding_mask"]
    first, second = (np.asarray(model(batch)["sequence_output"]) for model in (masked, plain))
    assert np.abs(first - second)[~real].max() > 1e-4
    assert (np.abs(first - second)[real].max() < 1e-5) == same


def test_a_saved_backbone_gives_the_same_outputs(make_backbone, batch, tmp_path):
    backbone = make_backbone(ALL_LETTERS)
    backbone.save(tmp_path / "backbone.keras")
    assert_same_outputs(
        backbone, keras.models.load_model(tmp_path / "backbone.keras"), batch, rtol=0, atol=0
    )


def test_a_preset_directory_gives_the_same_outputs(make_backbone, batch, tmp_path):
    backbone = make_backbone()
    backbone.save_to_preset(tmp_path)
    assert_same_outputs(
        backbone, SparseMixerBackbone.from_preset(str(tmp_path)), batch, rtol=0, atol=0
    )


@pytest.mark.parametrize("jit_compile", [False, *long_cases(True)])
def test_a_compiled_backbone_gives_the_outputs_of_an_eager_one(make_backbone, batch, jit_compile):
    backbone = make_backbone(ALL_LETTERS)
    compiled = tf.function(backbone, jit_compile=jit_compile)
    inputs = {name: tf.constant(value) for name, value in batch.items()}
    assert_same_outputs(backbone, compiled, inputs, rtol=1e-4, atol=1e-5)


def test_a_batch_of_unknown_size_runs_in_a_graph(make_backbone, batch):
    backbone = make_backbone()
    specs = {name: tf.TensorSpec((None, 12), value.dtype) for name, value in batch.items()}
    compiled = tf.function(backbone, input_signature=[specs])
    assert_same_outputs(backbone, compiled, batch, rtol=1e-4, atol=1e-5)


def test_bfloat16_computes_near_float32_and_keeps_float32_weights(make_backbone, batch):
    full, half = make_backbone("lfsf"), make_backbone("lfsf", dtype="mixed_bfloat16")
    half.set_weights(full.get_weights())
    assert half(batch)["sequence_output"].dtype == "bfloat16"
    assert {weight.dtype for weight in half.trainable_weights} == {"float32"}
    expected = np.asarray(full(batch)["sequence_output"])
    error = np.abs(np.asarray(half(batch)["sequence_output"], "float32") - expected)
    assert 0 < error.max() < 0.1


def test_shared_blocks_reuse_a_letter_inside_a_block_alone(make_backbone, batch):
    shared = make_backbone("s.sfsf.f", share_block_weights=True)
    names = [sublayer.name for sublayer in shared.sublayers]
    assert names == [
        "sublayer_00_s", "sublayer_01_s", "sublayer_02_f", "sublayer_01_s", "sublayer_02_f",
        "sublayer_05_f",
    ]  # fmt: skip
    apart = make_backbone("s.sfsf.f")
    assert len(apart.trainable_weights) > len(shared.trainable_weights)
    # A model apart whose copies hold the shared weights computes the same.
    weights = {weight.path: weight for weight in shared.trainable_weights}
    for weight in apart.trainable_weights:
        path = weight.path.replace("_03_s", "_01_s").replace("_04_f", "_02_f")
        weight.assign(weights[path])
    assert_same_outputs(shared, apart, batch, rtol=0, atol=1e-6)


def test_padding_changes_no_output_of_a_real_token_where_nothing_mixes_it(make_backbone, batch):
    backbone = make_backbone("sgsf", routing={"num_experts": 4, "router": "dropless"})
    other = {**batch, "token_ids": np.where(batch["padding_mask"], batch["token_ids"], 9)}
    real = batch["padding_mask"]
    first, second = (np.asarray(backbone(b)["sequence_output"]) for b in (batch, other))
    np.testing.assert_array_equal(first[real], second[real])
    assert np.abs(first[~real] - second[~real]).max() > 1e-3


def test_masked_padding_is_not_mixed_into_real_tokens(make_backbone, batch):
    other = {**batch, "token_ids": np.where(batch["padding_mask"], batch["token_ids"], 9)}
    real = batch["padding_mask"]

    def difference(backbone):
        first, second = (np.asarray(backbone(b)["sequence_output"]) for b in (batch, other))
        return np.abs(first[real] - second[real]).max()

    assert difference(make_backbone("rf", mask_padding_in_mixing=True)) == 0
    assert difference(make_backbone("rf")) > 1e-3


def test_dropout_acts_in_training_alone(make_backbone, batch):
    backbone = make_backbone("sf", dropout_rate=0.5)
    assert_same_outputs(backbone, backbone, batch, rtol=0, atol=0)
    first, second = (backbone(batch, training=True)["sequence_output"] for _ in range(2))
    assert np.abs(first - second).max() > 1e-2


def short_batch():
    return {
        "token_ids": np.ones((1, 5), "int32"),
        "segment_ids": np.zeros((1, 5), "int32"),
        "padding_mask": np.ones((1, 5), "bool"),
    }


@pytest.mark.parametrize("letter", "lct")
def test_a_length_that_learned_mixing_was_not_built_for_is_refused(make_backbone, letter):
    with pytest.raises(ValueError, match=r"(?s)(5.*12|12.*5).*--max_seq_length"):
        make_backbone(letter)(short_batch())


@pytest.mark.parametrize("letter", "srhfg")
def test_without_learned_mixing_shorter_sequences_are_welcome(make_backbone, letter):
    assert make_backbone(letter)(short_batch())["sequence_output"].shape == (1, 5, 8)


def test_a_sequence_longer_than_the_positions_is_refused(make_backbone, batch):
    with pytest.raises(ValueError, match=r"12 tokens.*--max_seq_length=12"):
        make_backbone("s", max_sequence_length=8)(batch)


def test_experts_without_routing_and_unknown_letters_are_refused(make_backbone):
    with pytest.raises(ValueError, match="'sg' has experts .g. but routing is None"):
        make_backbone("sg", routing=None)
    with pytest.raises(ValueError, match="'x' in --architecture is not a sublayer"):
        make_backbone("sx")
