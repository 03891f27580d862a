"""A converted model is a run to start from, and a run is read back."""

import dataclasses
import json

import numpy as np
import pytest

from pipelines.tokenizers.sentencepiece_model import Vocabulary
from sparse_mixer_tf.conversion import workdir_reader
from sparse_mixer_tf.conversion.keras_models import build
from sparse_mixer_tf.conversion.portable_model import PlainModel, check_vocabulary
from sparse_mixer_tf.experiments.load import open_run, start_from
from sparse_mixer_tf.models import (
    PretrainingModel,
    SparseMixerBackbone,
    SparseMixerMaskedLM,
    SparseMixerTextClassifier,
)
from sparse_mixer_tf.settings import ModelSettings, SettingsError
from sparse_mixer_tf.tasks.mask_filling import encode, fill
from sparse_mixer_tf.tasks.model_factory import build_backbone

SETTINGS = ModelSettings(
    architecture="lgsf", d_model=8, d_ff=16, num_heads=2, num_experts=4, activation="gelu_exact",
    num_segments=3, layer_norm_epsilon=1e-6, route_padding=True,
)  # fmt: skip


def plain(kind: str = "pretraining", settings=SETTINGS, **changes) -> PlainModel:
    """A small model with random weights; `encoder` and `classifier` have other heads."""
    backbone = build_backbone(settings, 60, 12, "float32")
    model = {
        "pretraining": PretrainingModel,
        "encoder": lambda backbone: backbone,
        "classifier": lambda backbone: SparseMixerTextClassifier(backbone, 3),
    }[kind](backbone)
    rng = np.random.default_rng(0)
    weights = {v.path: rng.normal(size=v.shape).astype("float32") for v in model.weights}
    return PlainModel("origin", settings, 60, 12, weights, step=40, **changes)


@pytest.fixture
def words(vocabulary_bytes) -> Vocabulary:
    return Vocabulary(vocabulary_bytes)


def assert_same_weights(first: dict, second: dict):
    assert first.keys() == second.keys()
    for name, array in first.items():
        np.testing.assert_array_equal(second[name], array, err_msg=name)


def test_a_run_comes_back_with_every_weight_and_setting(write_preset, words):
    model = plain(vocabulary=words, pair_objective="order")
    again = workdir_reader.read_workdir(write_preset(model))
    assert_same_weights(model.weights, again.weights)
    assert again.settings == SETTINGS and again.step == 40 and again.pair_objective == "order"
    assert again.vocabulary.fingerprint == words.fingerprint


@pytest.mark.parametrize("kind", ["pretraining", "encoder", "classifier"])
def test_a_preset_comes_back_with_every_weight_and_setting(write_preset, words, kind):
    model = plain(kind, vocabulary=words)
    again = workdir_reader.read_preset(write_preset(model))
    kept = {k: v for k, v in model.weights.items() if not k.startswith("order_head/")}
    assert_same_weights(kept, again.weights)
    assert dataclasses.replace(again.settings, expert_d_ff=None, d_emb=None) == (
        dataclasses.replace(SETTINGS, eval_capacity_factor=again.settings.eval_capacity_factor)
    )
    assert again.vocabulary.fingerprint == words.fingerprint


def test_a_run_fills_masks_and_starts_another(write_preset, words):
    workdir = write_preset(plain(vocabulary=words, pair_objective="order"))
    task, facts, step = open_run(workdir)
    assert step == 40 and facts["converted_from"] == "origin"
    batch = encode(["the quick [MASK] fox"], words, 12, task.data_settings.num_predictions)
    assert fill(task.model, batch, words, 1)[0]["predictions"]
    classifier = SparseMixerTextClassifier(build_backbone(SETTINGS, 60, 12, "float32"), 2)
    lines = start_from(workdir, classifier)
    assert "fresh (2): logits/bias, logits/kernel" in " ".join(lines)
    np.testing.assert_array_equal(
        classifier.backbone.token_embedding.token_embedding,
        task.model.backbone.token_embedding.token_embedding,
    )


@pytest.mark.parametrize("kind", ["encoder", "classifier"])
def test_an_encoder_without_its_head_starts_a_run_but_fills_no_masks(write_preset, words, kind):
    workdir = write_preset(plain(kind, vocabulary=words))
    with pytest.raises(SettingsError, match="without heads; start a run from it with --init_check"):
        open_run(workdir)
    model = PretrainingModel(build_backbone(SETTINGS, 60, 12, "float32"))
    assert "fresh (7): masked_lm_head/bias" in " ".join(start_from(workdir, model))


def test_text_goes_into_the_presets(write_preset, words):
    preset = str(write_preset(plain(vocabulary=words)))
    masked_lm = SparseMixerMaskedLM.from_preset(preset)
    inputs, _, _ = masked_lm.preprocessor(["the quick brown fox"])
    assert inputs["token_ids"].shape == (1, 12) and inputs["mask_positions"].shape == (1, 1)
    assert masked_lm(inputs).shape == (1, 1, 60)
    preset = str(write_preset(plain("classifier", vocabulary=words), "classifier"))
    classifier = SparseMixerTextClassifier.from_preset(preset)
    assert classifier(classifier.preprocessor(["the fox"])).shape == (1, 3)
    preset = str(write_preset(plain("encoder", vocabulary=words), "encoder"))
    fresh = SparseMixerTextClassifier.from_preset(preset, num_classes=2)
    assert fresh(fresh.preprocessor(["the fox"])).shape == (1, 2)


def test_without_a_vocabulary_there_is_a_preset_and_no_run(write_preset):
    folder = write_preset(plain())
    assert workdir_reader.is_preset(folder) and not workdir_reader.is_workdir(folder)
    assert SparseMixerMaskedLM.from_preset(str(folder)).preprocessor is None


def test_the_flags_of_a_run_make_such_a_model(write_preset, words):
    lines = (write_preset(plain(vocabulary=words)) / "run.flags").read_text().splitlines()
    assert {"--architecture=lgsf", "--activation=gelu_exact", "--max_seq_length=12"} <= set(lines)
    assert not any(line.startswith(("--norm", "--gate")) for line in lines)


def test_a_missing_pooler_has_initial_values_and_the_rest_its_own():
    model = plain("encoder")
    without = {k: v for k, v in model.weights.items() if not k.startswith("pooler/")}
    first, second = (build(dataclasses.replace(model, weights=without)) for _ in range(2))
    assert isinstance(first, SparseMixerBackbone)
    for one, other in zip(first.weights, second.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    half = without | {"pooler/projection/bias": np.zeros(8, "float32")}
    with pytest.raises(SettingsError, match="lacks what becomes pooler/projection/kernel"):
        build(dataclasses.replace(model, weights=half))


def test_a_vocabulary_of_another_size_is_refused(words):
    check_vocabulary(words, "spm.model", "here", 60)
    with pytest.raises(SettingsError, match="spm.model has 60 pieces, the word table of here 61 r"):
        check_vocabulary(words, "spm.model", "here", 61)


def test_a_language_model_and_a_run_without_checkpoints_are_refused(write_preset, words):
    workdir = write_preset(plain(vocabulary=words))
    facts = json.loads((workdir / "settings.json").read_text())
    state = workdir / "checkpoints/00000040/state.safetensors"
    state.write_bytes(state.read_bytes()[:-1])
    with pytest.raises(SettingsError, match="checkpoint of step 40 in .* is not whole"):
        workdir_reader.read_workdir(workdir)
    (workdir / "checkpoints").rename(workdir / "elsewhere")
    with pytest.raises(SettingsError, match="has no checkpoint yet"):
        workdir_reader.read_workdir(workdir)
    facts["training"]["task"] = "causal_lm"
    (workdir / "settings.json").write_text(json.dumps(facts))
    with pytest.raises(SettingsError, match="is a language model; only encoders"):
        workdir_reader.read_workdir(workdir)


def test_a_damaged_preset_is_one_line(write_preset):
    folder = write_preset(plain())
    (folder / "model.weights.h5").write_bytes(b"nothing")
    with pytest.raises(SettingsError, match="is no whole preset") as error:
        workdir_reader.read_preset(folder)
    assert "\n" not in str(error.value)
