"""The causal stack is what its string says."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from sparse_mixer_tf.architecture import ArchitectureError
from sparse_mixer_tf.models import BrainformerBackbone, BrainformerCausalLM, SparseMixerBackbone
from tests.long_cases import long_cases
from tests.models.numpy_brainformer import brainformer
from tests.models.small_brainformer import SPAN, TOP_2, VOCABULARY, make, run, tokens


@pytest.mark.parametrize(
    "architecture, shared, unshared",
    [("sgfgfg.sgfgfg", 2, 2), ("s.sfsf.f", 2, 3), ("sfsfsf", 1, 3), ("f.sgsf", 1, 2), ("fg", 0, 0)],
)
@pytest.mark.parametrize("share", [True, False])
def test_shapes_and_number_of_memories(architecture, shared, unshared, share):
    backbone = make(architecture, share_block_weights=share)
    expected = shared if share else unshared
    assert backbone.num_memories == expected
    y, memory = run(backbone, tokens(5))
    assert y.shape == (2, 5, 8)
    assert memory.shape == (2, expected, SPAN, 8)


def test_blocks_hold_only_the_sublayers_their_letters_use():
    backbone = make("s.sfsf.f", share_block_weights=True)
    tops = {variable.path.split("/")[0] for variable in backbone.weights}
    assert tops == {
        "token_embedding", "position_table", "sublayer_00_s", "sublayer_01_s", "sublayer_02_f",
        "sublayer_05_f",
    }  # fmt: skip
    untied = make("s.sfsf.f")
    assert len({layer.name for layer in untied.sublayers}) == 6


@pytest.mark.parametrize("selected", [2, *long_cases(1, 8)])
@pytest.mark.parametrize(
    "architecture, share, span, block",
    [
        ("sgfgfg.sgfgfg", True, 8, 4),
        ("sgsf.sgsf", True, 8, 4),
        ("sgsf", False, 8, 4),
        ("fsg.fsg", True, 4, 6),
        ("fsg.s", False, 4, 6),
        ("f.gsfs.s", True, 3, 9),
    ],
)
def test_it_is_what_is_written_down_by_hand(architecture, share, span, block, selected):
    routing = {**TOP_2, "num_selected_experts": selected}
    backbone = make(architecture, share_block_weights=share, attn_span=span, routing=routing)
    lm = BrainformerCausalLM(backbone)
    weights = {v.path: v.numpy().astype("float64") for v in lm.trainable_variables}
    theirs = np.zeros((2, backbone.num_memories, span, 8))
    ours = backbone.no_memory(2)
    for step in range(3):
        token_ids = tokens(block, seed=step)
        outputs = lm({"token_ids": token_ids, "memory": ours})
        logits, theirs = brainformer(
            weights, architecture, token_ids.numpy(), theirs, 2, selected, share=share
        )
        np.testing.assert_allclose(outputs["logits"], logits, atol=2e-5)
        np.testing.assert_allclose(outputs["memory"], theirs, atol=2e-5)
        ours = outputs["memory"]


def test_the_loss_of_spans_counts_each_attention_once():
    backbone = make("ss.s", share_block_weights=True, adapt_span=True, adapt_span_init=0.5,
                    adapt_span_loss=0.01)  # fmt: skip
    run(backbone, tokens(4))
    np.testing.assert_allclose(sum(backbone.losses), 2 * 0.01 * SPAN * 0.5, rtol=1e-6)


def test_more_experts_can_be_selected_in_all_sublayers():
    backbone = make("gsg", routing={**TOP_2, "gate": "frozen_random"})
    before = run(backbone, tokens(4))[0]
    assert backbone.select_experts(6)
    assert not backbone.select_experts(6)
    assert np.abs(run(backbone, tokens(4))[0] - before).max() > 1e-3
    assert backbone.get_config()["routing"]["num_selected_experts"] == 6


def test_balance_and_z_loss_are_in_the_losses():
    backbone = make("sg", routing={**TOP_2, "balance_loss_factor": 1.0})
    run(backbone, tokens(12))
    # Two choices a token: the loss of an even router is 2.
    assert float(sum(backbone.losses)) > 1.5


@pytest.mark.parametrize(
    "architecture, options, message",
    [
        ("slf", {}, "linear mixing .'l'. sees the whole sequence"),
        ("srf", {}, "Fourier mixing .'r'."),
        ("shf", {}, "Hartley mixing .'h'."),
        ("scf", {}, "circulant mixing .'c'."),
        ("stf", {}, "Toeplitz mixing .'t'."),
        ("sxf", {}, "x"),
        ("", {}, "empty"),
        ("sg", {"routing": {"num_experts": 4}}, "experts_choose"),
        ("sg", {"routing": {"router": "tokens_choose"}}, "batch_prioritized_routing=True"),
        ("sg", {"routing": None}, "has experts .g. but routing is None"),
        ("sf", {"num_heads": 3}, "d_model=8 is not divisible by num_heads=3"),
        ("sf", {"activation": "tanh"}, "activation='tanh' is unknown"),
        ("sf", {"norm": "both"}, "norm='both' is unknown"),
        ("sf", {"initializer": "zeros"}, "initializer='zeros' is unknown"),
    ],
)
def test_what_cannot_be_built_is_refused_by_name(architecture, options, message):
    with pytest.raises(ValueError, match=message):
        make(architecture, **options)


def test_looking_ahead_is_refused_before_anything_is_built(monkeypatch):
    def never(*_, **__):
        raise AssertionError("a layer was made")

    monkeypatch.setattr(keras.layers.Layer, "__init__", never)
    for architecture in ("sl", "sg"):
        with pytest.raises(ArchitectureError):
            make(architecture, routing={"num_experts": 4})
    with pytest.raises(ValueError, match="batch_prioritized_routing"):
        make("sg", routing={"router": "tokens_choose"})


@pytest.mark.parametrize("architecture", ["2*(sgf)", *long_cases("2*(sgggfff)", "sfgggfff")])
def test_one_string_builds_an_encoder_and_a_language_model(architecture):
    sizes = {
        "vocabulary_size": VOCABULARY,
        "architecture": architecture,
        "d_model": 8,
        "d_ff": 12,
        "num_heads": 2,
        "norm": "pre",
        "activation": "gated_gelu",
        "routing": {
            "num_experts": 4,
            "router": "tokens_choose",
            "batch_prioritized_routing": False,
            "capacity_factor": 1.0,
        },
    }
    encoder = SparseMixerBackbone(**sizes, max_sequence_length=12)
    causal = BrainformerBackbone(**sizes, attn_span=SPAN)
    names = [layer.name for layer in encoder.sublayers]
    assert names == [layer.name for layer in causal.sublayers]

    def feed_forwards(backbone):
        return {
            variable.path: variable.shape
            for layer in backbone.sublayers
            if layer.name[-1] in "fg"
            for variable in layer.weights
        }

    assert feed_forwards(encoder) == feed_forwards(causal)
    token_ids = tokens(12)
    encoded = encoder(
        {
            "token_ids": token_ids,
            "segment_ids": tf.zeros_like(token_ids),
            "padding_mask": tf.ones_like(token_ids, bool),
        }
    )
    assert encoded["sequence_output"].shape == run(causal, token_ids)[0].shape == (2, 12, 8)
    for backbone in (encoder, causal):
        assert [v.path for v in backbone.weights if v.path.startswith("final_norm")]


def test_initial_values_are_those_of_pytorch():
    keras.utils.set_random_seed(3)
    lm = BrainformerCausalLM(
        BrainformerBackbone(
            205, "sgf", 64, 96, num_heads=4, attn_span=100, adapt_span=True, adapt_span_init=0.25,
            routing={**TOP_2, "num_experts": 16},
        )
    )  # fmt: skip
    weights = {v.path.split("_", 2)[-1] if "sublayer" in v.path else v.path: v.numpy()
               for v in lm.trainable_variables}  # fmt: skip
    for name in ("token_embedding/embeddings", "position_table/table"):
        assert abs(weights.pop(name).std() - 1) < 0.05, name
    for name in list(weights):
        if name.endswith("gamma"):
            assert (weights.pop(name) == 1).all()
        elif name.endswith("beta") or "experts/bias" in name:
            assert (weights.pop(name) == 0).all(), name
        elif name.endswith("reach"):
            assert (weights.pop(name) == 0.25).all()
    limits = {"f/feed_forward/output": 96**-0.5, "g/moe/experts": (64 * 96) ** -0.5}
    for name, array in weights.items():
        limit = limits.get(name.rsplit("/", 1)[0], 64**-0.5)
        assert np.abs(array).max() <= limit, name
        assert np.abs(array).max() > 0.8 * limit, name
        if array.size > 1000:
            assert abs(array.std() - limit / 3**0.5) < 0.05 * limit, name
    kernels = [array for name, array in weights.items() if "experts/kernel" in name]
    assert np.abs(kernels[0].reshape(-1) - kernels[1].reshape(-1)).max() > 0
    assert {v.path.split("/")[-1] for v in lm.weights if "attention" in v.path} == {
        "kernel", "reach",
    }  # fmt: skip
    assert {layer.layer_norm.epsilon for layer in lm.backbone.sublayers} == {1e-5}


def test_the_number_of_parameters_is_that_of_the_formula():
    vocabulary, width, inner, heads, span, blocks = 205, 32, 48, 4, 64, 2
    backbone = BrainformerBackbone(
        vocabulary, "sgfgfg.sgfgfg", width, inner, heads, span, adapt_span=True,
        share_block_weights=True, routing={**TOP_2, "num_experts": 16},
    )  # fmt: skip
    feed_forward = 2 * width * inner + inner + width
    block = 4 * width**2 + heads + 17 * feed_forward + 16 * width + 16 + 6 * width
    expected = 2 * vocabulary * width + vocabulary + width // heads * span + blocks * block
    assert BrainformerCausalLM(backbone).count_params() == expected


@pytest.mark.parametrize("options", [
    {"architecture": "2*(sgf)", "share_block_weights": True, "adapt_span": True},
    {"architecture": "sfgggfff", "norm": "pre", "activation": "gated_gelu",
     "attend_to_self": True, "expert_d_ff": 6, "initializer": "normal"},
    {"architecture": "f"},
])  # fmt: skip
def test_config_and_file_give_the_same_backbone(options, tmp_path):
    backbone = make(**options, name="b")
    config = json.loads(json.dumps(backbone.get_config()))
    again = BrainformerBackbone.from_config(config)
    assert json.dumps(again.get_config()) == json.dumps(config)
    assert [w.path for w in again.weights] == [w.path for w in backbone.weights]
    for name in config.keys() - {"dtype", "routing"}:
        assert getattr(backbone, name) == config[name]
    backbone.save(tmp_path / "b.keras")
    loaded = keras.models.load_model(tmp_path / "b.keras")
    for ours, theirs in zip(run(loaded, tokens(5)), run(backbone, tokens(5)), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("jit_compile", [False, *long_cases(True)])
def test_a_compiled_backbone_gives_the_outputs_of_an_eager_one(jit_compile):
    backbone = make("sgfgfg.sgfgfg", share_block_weights=True, adapt_span=True)
    compiled = tf.function(lambda *inputs: run(backbone, *inputs), jit_compile=jit_compile)
    memory = tf.random.stateless_normal((2, 2, SPAN, 8), seed=[1, 2])
    eager = run(backbone, tokens(16), memory)
    for ours, theirs in zip(compiled(tokens(16), memory), eager, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_bfloat16_computes_near_float32_and_keeps_float32_weights():
    full = make("sfsf", share_block_weights=True)
    half = make("sfsf", share_block_weights=True, dtype="mixed_bfloat16")
    half.set_weights(full.get_weights())
    (y, memory), (expected, _) = run(half, tokens(9)), run(full, tokens(9))
    assert y.dtype == memory.dtype == tf.bfloat16
    assert {weight.dtype for weight in half.trainable_weights} == {"float32"}
    assert 0 < np.abs(np.asarray(y, "float32") - expected).max() < 0.15
