"""Every layer gives the published code's numbers, forward and backward."""

import numpy as np
import pytest
from keras import ops

from sparse_mixer_tf import layers
from sparse_mixer_tf.layers.masked_lm_head import gather_positions
from sparse_mixer_tf.layers.mixing.transforms import (
    circulant_matrix,
    embed_toeplitz,
    toeplitz_matrix,
)
from tests.layers.reference import Reference, assert_close, check

MIXERS = {
    "fourier": (layers.FourierMixing, ()),
    "hartley": (layers.HartleyMixing, ()),
    "circulant": (layers.CirculantMixing, ("input_kernel", "hidden_kernel")),
    "toeplitz": (layers.ToeplitzMixing, ("input_kernel", "hidden_kernel")),
    "linear": (layers.LinearMixing, ("input_kernel", "hidden_kernel")),
}


@pytest.fixture
def load():
    return Reference


def built(layer, shape=(3, 8, 6)):
    layer.build(shape)
    return layer


@pytest.mark.parametrize("implementation", ["fft", "matmul", "auto"])
@pytest.mark.parametrize("kind", MIXERS)
def test_mixing_matches_in_both_implementations(load, kind, implementation):
    mixing, kernels = MIXERS[kind]
    names = ["mix_linear"] if kind == "linear" else [f"mix_{kind}_fft", f"mix_{kind}_mat"]
    for name in names:
        layer = built(mixing(implementation=implementation))
        check(layer, load(name), {kernel: kernel for kernel in kernels})


def test_structured_matrices_have_the_published_layout(load):
    reference = load("mix_matrices")
    four = ops.cast(reference["in/c4"], "float32")
    seven = ops.cast(reference["in/t7"], "float32")
    assert_close(circulant_matrix(four), reference["out/circulant4"])
    assert_close(toeplitz_matrix(seven), reference["out/toeplitz7"])
    assert_close(embed_toeplitz(seven), reference["out/embed7"])


ATTENTION = {
    f"{name}/{kind}": f"self/{name}/{kind}"
    for name in ("query", "key", "value", "out")
    for kind in ("kernel", "bias")
}


def merge_heads(array, name):
    if name.startswith("out"):
        return array.reshape(-1, array.shape[-1]) if name.endswith("kernel") else array
    return array.reshape(*array.shape[:-2], -1)


def test_attention_matches_with_padded_queries_masked(load):
    reference = load("attention")
    layer = built(layers.SelfAttention(num_heads=2, mask_padded_queries=True))
    mask = reference["in/input_ids"] != 0
    check(layer, reference, ATTENTION, reshape=merge_heads, padding_mask=mask)


def test_attention_on_keys_alone_gives_real_tokens_the_same_numbers(load):
    reference = load("attention")
    mask = reference["in/input_ids"] != 0
    layer = built(layers.SelfAttention(num_heads=2, mask_padded_queries=True))
    check(layer, reference, ATTENTION, reshape=merge_heads, padding_mask=mask)
    on_keys = built(layers.SelfAttention(num_heads=2))
    on_keys.set_weights(layer.get_weights())
    y = on_keys(reference["in/input_emb"], padding_mask=mask)
    assert mask.sum() < mask.size
    assert_close(np.asarray(y)[mask], reference["out/y"][mask])


def test_feed_forward_matches(load):
    weights = {
        f"{name}/{kind}": f"{name}/{kind}"
        for name in ("intermediate", "output")
        for kind in ("kernel", "bias")
    }
    check(built(layers.FeedForward(d_ff=10)), load("feed_forward"), weights)


def test_embedding_matches(load):
    reference = load("embedding")
    weights = {
        "token_embedding": "word/embedding",
        "position_embedding": "position/embedding",
        "segment_embedding": "type/embedding",
        "layer_norm/gamma": "layer_norm/scale",
        "layer_norm/beta": "layer_norm/bias",
        "hidden_mapping_in/kernel": "hidden_mapping_in/kernel",
        "hidden_mapping_in/bias": "hidden_mapping_in/bias",
    }
    layer = built(
        layers.TokenEmbedding(vocabulary_size=30, d_model=6, max_sequence_length=8, d_emb=5),
        (3, 8),
    )
    check(
        layer,
        reference,
        weights,
        inputs="in/input_ids",
        reshape=lambda array, name: array[0] if name.startswith("position") else array,
        segment_ids=reference["in/type_ids"],
    )


def test_encoder_block_of_two_sublayers_matches(load):
    import keras

    class Block(keras.layers.Layer):
        def build(self, shape):
            self.mixing = layers.Sublayer(layers.LinearMixing(name="inner"), name="mixing")
            self.output_ = layers.Sublayer(layers.FeedForward(10, name="inner"), name="output")
            self.mixing.build(shape)
            self.output_.build(shape)

        def call(self, x):
            return self.output_(self.mixing(x))

    weights = {
        "mixing/inner/input_kernel": "mixing_sublayer/input_kernel",
        "mixing/inner/hidden_kernel": "mixing_sublayer/hidden_kernel",
    }
    for name in ("mixing", "output"):
        weights[f"{name}/layer_norm/gamma"] = f"{name}_layer_norm/scale"
        weights[f"{name}/layer_norm/beta"] = f"{name}_layer_norm/bias"
    for dense in ("intermediate", "output"):
        for kind in ("kernel", "bias"):
            theirs = f"feed_forward_sublayer/{dense}/{kind}"
            weights[f"output/inner/{dense}/{kind}"] = theirs
    check(built(Block()), load("encoder_block_linear"), weights)


def test_gathering_positions_matches(load):
    reference = load("gather")
    rows = gather_positions(
        reference["in/sequence"], ops.convert_to_tensor(reference["in/indices"])
    )
    assert_close(ops.reshape(rows, (-1, 6)), reference["out/y"])
