"""Checkpoints of the published models give their outputs."""

import ml_dtypes
import numpy as np
import pytest

from sparse_mixer_tf.conversion.flax import checkpoint
from sparse_mixer_tf.conversion.flax import model as flax_model
from sparse_mixer_tf.conversion.keras_models import build
from sparse_mixer_tf.models import (
    SparseMixerBackbone,
    SparseMixerMaskedLM,
    SparseMixerTextClassifier,
)
from sparse_mixer_tf.settings import SettingsError
from tests.conversion.flax_writer import parameters_of, write_checkpoint
from tests.long_cases import quick_among
from tests.models.flax_parameters import ROUTERS, inputs_of
from tests.reference_files import read_arrays, read_config, reference_names

RUNS = reference_names("sparse_mixers", "pretrain_*")
RUNS += reference_names("sparse_mixers", "classify_*")
WITH_EXPERTS = "pretrain_sparse_mixer_f32"


class Published:
    """A reference run and what its configuration tells that a checkpoint does not."""

    def __init__(self, name: str):
        self.config = read_config("sparse_mixers", name)
        self.arrays = read_arrays("sparse_mixers", name)
        self.inputs = inputs_of(self.arrays, self.config)
        self.parameters = parameters_of(self.arrays)
        self.mixing = {"F_NET": "r", "H_NET": "h"}.get(self.config["model_arch"])
        router, dispatch = ROUTERS[self.config["dispatch_algorithm"]]
        self.untold = {
            "router": router,
            "dispatch": dispatch,
            "num_selected_experts": self.config["num_selected_experts"],
            "batch_prioritized_routing": self.config["batch_prioritized_routing"],
            "max_group_size": self.config["max_group_size"],
        }

    def read(self, path):
        return flax_model.read(path, self.untold, self.mixing)


@pytest.mark.parametrize("name", quick_among([WITH_EXPERTS, "classify_mnli"], RUNS))
def test_the_preset_of_a_checkpoint_gives_the_published_outputs(tmp_path, write_preset, name):
    run = Published(name)
    with_experts = run.config["num_moe_layers"] > 0
    layout = {"processes": 2, "devices": 2} if with_experts else {}
    model = run.read(write_checkpoint(tmp_path / "published", run.parameters, **layout))
    assert model.step == 30
    preset = str(write_preset(model))
    if name.startswith("classify"):
        outputs = {"logits": SparseMixerTextClassifier.from_preset(preset)(run.inputs)}
    else:
        assert model.pair_objective == "order"
        inputs = {key: value for key, value in run.inputs.items() if key != "mask_positions"}
        outputs = SparseMixerBackbone.from_preset(preset)(inputs)
    # Routing in bfloat16 sends some tokens elsewhere; see test_published_models.
    for output, value in outputs.items() if "bf16" not in name else ():
        np.testing.assert_allclose(value, run.arrays[f"out/{output}"], rtol=1e-5, atol=1e-5)


def test_heads_come_along(tmp_path, write_preset):
    run = Published(WITH_EXPERTS)
    model = run.read(write_checkpoint(tmp_path / "published", run.parameters))
    logits = SparseMixerMaskedLM.from_preset(str(write_preset(model)))(run.inputs)
    outputs = build(model)(run.inputs)
    np.testing.assert_array_equal(logits, outputs["mlm_logits"])
    weights = run.arrays["in/masked_lm_weights"]
    picked = np.take_along_axis(
        np.log(np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)),
        run.arrays["in/masked_lm_labels"][..., None],
        axis=-1,
    )[..., 0]
    np.testing.assert_allclose(-(picked * weights).sum(), run.arrays["m/masked_lm_loss"], rtol=1e-5)
    order = outputs["order_logits"]
    labels = run.arrays["in/next_sentence_labels"].ravel()
    shares = np.exp(order) / np.exp(order).sum(-1, keepdims=True)
    loss = -np.log(shares[np.arange(len(labels)), labels]).sum()
    np.testing.assert_allclose(loss, run.arrays["m/next_sentence_loss"], rtol=1e-5)


@pytest.mark.parametrize("layout", [(1, 1), (1, 4), (4, 1), (2, 2)])
def test_experts_come_together_from_every_process_and_device(tmp_path, layout):
    parameters = Published(WITH_EXPERTS).parameters
    path = write_checkpoint(tmp_path, parameters, processes=layout[0], devices=layout[1])
    again = checkpoint.read(path).parameters
    assert again.keys() == parameters.keys()
    for name, array in parameters.items():
        np.testing.assert_array_equal(again[name], array, err_msg=name)


def test_the_newest_step_of_a_folder_is_found(tmp_path):
    parameters = Published("pretrain_bert").parameters
    for step in (9, 1000, 30):
        write_checkpoint(tmp_path, parameters, step=step)
    assert checkpoint.find(tmp_path).name == "replicated_checkpoint_1000"
    named = tmp_path / "replicated_checkpoint_9"
    assert checkpoint.find(named) == named
    assert checkpoint.find(tmp_path / "other") is None


def test_halves_become_float32(tmp_path):
    run = Published("pretrain_bert")
    halves = {name: a.astype(ml_dtypes.bfloat16) for name, a in run.parameters.items()}
    model = run.read(write_checkpoint(tmp_path, halves))
    assert {array.dtype.name for array in model.weights.values()} == {"float32"}


BIAS = np.zeros(5, "float32")


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("encoder/pooler/bias", None, "lacks what becomes pooler/projection/bias"),
        ("encoder/pooler/kernel", None, "lacks encoder/pooler/kernel"),
        (
            "encoder/feed_forward_3/output/kernel",
            None,
            "lacks .* sublayer_07_f/feed_forward/output",
        ),
        ("encoder/embedder/type/embedding", None, "lacks encoder/embedder/type/embedding"),
        ("encoder/embedder/extra/bias", BIAS, "has encoder/embedder/extra/bias too much"),
        ("encoder/other/bias", BIAS, "encoder/other/bias, of shape .* is no parameter"),
        ("decoder/bias", BIAS, "decoder/bias, of shape .* is no parameter"),
        ("encoder/encoder_1/third_layer_norm/bias", BIAS, "is there twice"),
        ("encoder/encoder_9/output_layer_norm/bias", BIAS, "has layers .*; expected 0, 1, 2"),
        ("encoder/linear_transform_1/hidden_kernel", BIAS, "layer 1 is made of"),
        ("encoder/pooler/bias", BIAS, r"encoder/pooler/bias becomes .* \(5,\).* make it \(8,\)"),
        ("encoder/embedder/word/embedding", BIAS, r"word/embedding has shape \(5,\)"),
        ("encoder/pooler/bias", BIAS.astype("int32"), "has dtype int32; expected floats"),
        ("encoder/pooler/bias", "text", "encoder/pooler/bias is no array"),
        ("classification/output_bias", None, "lacks what becomes order_head/bias"),
    ],
)
def test_what_is_not_of_a_published_model_is_named(tmp_path, name, value, problem):
    run = Published("pretrain_bert")
    parameters = {k: v for k, v in (run.parameters | {name: value}).items() if v is not None}
    path = write_checkpoint(tmp_path, parameters)
    with pytest.raises(SettingsError, match=problem) as error:
        build(run.read(path))
    assert "\n" not in str(error.value)


def test_a_missing_shard_is_named(tmp_path):
    run = Published(WITH_EXPERTS)
    path = write_checkpoint(tmp_path, run.parameters, processes=2)
    (tmp_path / "shard-00001-of-00002_checkpoint_30").unlink()
    with pytest.raises(SettingsError, match="shard-00001-of-00002_checkpoint_30 is missing"):
        run.read(path)
    (tmp_path / "shard-00000-of-00002_checkpoint_30").unlink()
    with pytest.raises(SettingsError, match="beside it are no shards"):
        run.read(path)


def test_layers_without_weights_must_be_told(tmp_path):
    run = Published("pretrain_fnet")
    path = write_checkpoint(tmp_path, run.parameters)
    with pytest.raises(SettingsError, match="layers 0, 1, 2, 3 mix tokens .* --mixing=r, Fourier"):
        flax_model.read(path, {})
    assert flax_model.read(path, {}, "h").settings.architecture == "4*(hf)sfsf"
    other = Published("pretrain_bert")
    path = write_checkpoint(tmp_path / "bert", other.parameters)
    with pytest.raises(SettingsError, match="--mixing=r: all layers of .* say themselves"):
        flax_model.read(path, {}, "r")
