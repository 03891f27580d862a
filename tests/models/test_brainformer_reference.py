"""The original's numbers, forward and backward: its sublayers, and whole models with memory."""

import numpy as np
import pytest
import tensorflow as tf

from sparse_mixer_tf.layers import CausalSublayer, FeedForward, MixtureOfExperts
from sparse_mixer_tf.models import BrainformerBackbone, BrainformerCausalLM
from tests.layers.reference import assert_close, assert_gradient_close
from tests.reference_files import read_arrays, read_config, reference_names

SUBLAYERS = {
    "attention/query/kernel": "attn.proj_query.weight",
    "attention/key/kernel": "attn.proj_key.weight",
    "attention/value/kernel": "attn.proj_val.weight",
    "attention/out/kernel": "attn.proj_out.weight",
    "attention/adaptive_span/reach": "attn.attn.adaptive_span._mask.current_val",
    "feed_forward/intermediate/kernel": "ff.fc1.weight",
    "feed_forward/intermediate/bias": "ff.fc1.bias",
    "feed_forward/output/kernel": "ff.fc2.weight",
    "feed_forward/output/bias": "ff.fc2.bias",
    "moe/router/kernel": "g.gate.gate.weight",
    "moe/router/bias": "g.gate.gate.bias",
    "moe/experts/kernel_in": "g.experts.htoh4.weight",
    "moe/experts/bias_in": "g.experts.htoh4.bias",
    "moe/experts/kernel_out": "g.experts.h4toh.weight",
    "moe/experts/bias_out": "g.experts.h4toh.bias",
}
NORMS = {"s": "norm1", "f": "norm2", "g": "g.layer_norm"}
OUTSIDE = {
    "token_embedding/embeddings": "in_emb.weight",
    "position_table/table": "key_pe",
    "output_projection/kernel": "out_emb.weight",
    "output_projection/bias": "out_emb.bias",
}
ROUTING = {
    "num_experts": 16,
    "router": "dropless",
    "gate": "top_k",
    "num_selected_experts": 2,
    "balance_loss_factor": 0.0,
    "router_z_loss_factor": 0.0,
}


def load(name) -> tuple[dict, dict]:
    """Arrays and configuration of one reference file."""
    return read_arrays("brainformer", name), read_config("brainformer", name)


def in_our_layout(array, name):
    if name == "key_pe":
        return array[0].T
    if name.endswith("current_val"):
        return array.reshape(-1)
    if name == "in_emb.weight" or name.endswith("bias"):
        return array
    return np.swapaxes(array, -1, -2) if array.ndim > 1 else array


def their_sublayer_name(path: str) -> str:
    """The original's name of a weight, from its path below a sublayer's name, letter first."""
    letter, _, rest = path.partition("/")
    if rest.startswith("layer_norm"):
        return NORMS[letter] + (".weight" if rest.endswith("gamma") else ".bias")
    return SUBLAYERS[rest]


@pytest.mark.parametrize("name", ["ffn", "moe_top2", "moe_top2_empty_experts"])
def test_feed_forward_and_experts_match(name):
    reference, config = load(name)
    letter = "f" if name == "ffn" else "g"
    if letter == "f":
        inner = FeedForward(config["I"], activation="relu", name="feed_forward")
    else:
        inner = MixtureOfExperts(config["I"], ROUTING, activation="relu", name="moe")
    layer = CausalSublayer(inner, initializer="torch", name=letter)
    layer.build(reference["x"].shape)
    names = [their_sublayer_name(v.path) for v in layer.trainable_variables]
    names = [n.removeprefix("g.") for n in names]
    for variable, theirs in zip(layer.trainable_variables, names, strict=True):
        variable.assign(in_our_layout(reference[f"param/{theirs}"], theirs))
    x = tf.constant(reference["x"])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x)
        loss = tf.reduce_sum(y * reference["cotangent"])
    gradients = tape.gradient(loss, [x, *(v.value for v in layer.trainable_variables)])
    assert_close(inner(x), reference["f64/ff_out" if letter == "f" else "f64/moe_out"])
    assert_close(y, reference["f64/out"])
    # The terms of this sum nearly cancel: its rounding goes by their size, not by its own.
    size = np.linalg.norm(reference["f64/out"] * reference["cotangent"])
    np.testing.assert_allclose(loss, reference["f64/loss"], rtol=0, atol=1e-6 * size)
    assert_gradient_close(gradients[0], reference["f64/grad_x"])
    for gradient, theirs in zip(gradients[1:], names, strict=True):
        expected = in_our_layout(reference[f"f64/grad/{theirs}"], theirs)
        assert_gradient_close(tf.convert_to_tensor(gradient), expected)


def model_of(config) -> BrainformerCausalLM:
    return BrainformerCausalLM(
        BrainformerBackbone(
            config["vocab"],
            config["arch"],
            config["H"],
            config["inner"],
            config["heads"],
            config["span"],
            routing=ROUTING,
            share_block_weights=True,
            adapt_span=config["adapt"],
            adapt_span_ramp=config["ramp"],
            adapt_span_loss=config["span_loss"],
        )
    )


def their_name(path: str, architecture: str) -> str:
    """The original's name of a weight of a whole model."""
    if path in OUTSIDE:
        return OUTSIDE[path]
    sublayer, rest = path.split("/", 1)
    _, index, letter = sublayer.split("_")
    blocks = [n for n, letters in enumerate(architecture.split(".")) for _ in letters]
    return f"layers.{blocks[int(index)]}." + their_sublayer_name(f"{letter}/{rest}")


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("name", reference_names("brainformer", "full_*"))
def test_two_blocks_of_a_whole_model_match(name, compiled):
    reference, config = load(name)
    lm, block = model_of(config), config["block"]
    variables = lm.trainable_variables
    names = [their_name(v.path, config["arch"]) for v in variables]
    for variable, theirs in zip(variables, names, strict=True):
        variable.assign(in_our_layout(reference[f"param/{theirs}"], theirs))
    lm.backbone.attend_to(lm.backbone.needed_spans())

    def step(token_ids, targets, memory):
        with tf.GradientTape() as tape:
            outputs = lm({"token_ids": token_ids, "memory": memory}, training=True)
            log_probabilities = tf.nn.log_softmax(outputs["logits"])
            nll = -tf.reduce_mean(tf.gather(log_probabilities, targets, batch_dims=2))
            span_loss = sum(lm.losses, tf.zeros(()))
            loss = nll + span_loss
        gradients = tape.gradient(loss, [v.value for v in variables])
        dense = [tf.convert_to_tensor(gradient) for gradient in gradients]
        return outputs["memory"], log_probabilities, nll, span_loss, dense

    if compiled:
        step = tf.function(step, jit_compile=True, autograph=False)
    token_ids = tf.constant(reference["ids"], tf.int32)
    memory = lm.backbone.no_memory(len(token_ids))
    blocks = dict(enumerate(config["arch"].split(".")))
    attending = [number for number, letters in blocks.items() if "s" in letters]
    idle = set(blocks) - set(attending)
    for part in range(2):
        expected = {
            key.removeprefix(f"f64/block{part}/"): array
            for key, array in reference.items()
            if key.startswith(f"f64/block{part}/")
        }
        start = part * block
        memory, log_probabilities, nll, span_loss, gradients = step(
            token_ids[:, start : start + block], token_ids[:, start + 1 : start + block + 1], memory
        )
        assert_close(log_probabilities, expected["logp"])
        assert_close(nll, expected["nll"])
        # The original counts the spans of blocks that attend to nothing, which we do not build.
        theirs = float(expected["span_loss"])
        for number in idle:
            reach = reference[f"param/layers.{number}.attn.attn.adaptive_span._mask.current_val"]
            theirs -= config["span_loss"] * config["span"] * float(reach.mean())
        np.testing.assert_allclose(span_loss, theirs, rtol=1e-4, atol=1e-9)
        for ours, their in zip(gradients, names, strict=True):
            assert_gradient_close(ours, in_our_layout(expected[f"grad/{their}"], their))
        for number, theirs in enumerate(attending):
            assert_close(memory[:, number], expected[f"cache/{theirs}"])
