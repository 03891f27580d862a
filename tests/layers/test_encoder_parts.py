"""Embedding, attention, sublayer, pooler and head: what the reference numbers do not show."""

import keras
import numpy as np
import pytest
from keras import ops

from sparse_mixer_tf import layers
from sparse_mixer_tf.layers.rng import random_key
from tests.layers.backend import gradients


def sample(*shape):
    return np.random.default_rng(5).normal(size=shape).astype("float32")


def embedding(**kwargs):
    sizes = {"vocabulary_size": 30, "d_model": 6, "max_sequence_length": 8, "d_emb": 4}
    return layers.TokenEmbedding(**{**sizes, **kwargs})


IDS = np.array([[1, 2, 3, 2], [4, 5, 5, 5]])


def test_embedding_takes_shorter_sequences_and_segment_zero_by_default():
    layer = embedding()
    y = layer(IDS)
    assert y.shape == (2, 4, 6)
    np.testing.assert_allclose(y, layer(IDS, segment_ids=np.zeros_like(IDS)), rtol=1e-6, atol=1e-6)
    assert np.abs(y - layer(IDS, segment_ids=np.ones_like(IDS))).max() > 1e-3


def test_embedding_refuses_a_sequence_longer_than_its_positions():
    with pytest.raises(ValueError, match="9 tokens is longer than the 8 positions.*seq_length=9"):
        embedding()(np.zeros([1, 9], "int32"))


@pytest.mark.tensorflow
def test_embedding_gradient_is_dense_and_the_table_stays_float32():
    import tensorflow as tf

    layer = embedding(dtype="mixed_bfloat16")
    with tf.GradientTape() as tape:
        y = tf.cast(layer(IDS), "float32")
        loss = tf.reduce_sum(y * sample(2, 4, 6))
    gradient = tape.gradient(loss, layer.token_embedding.value)
    assert isinstance(gradient, tf.Tensor) and gradient.dtype == tf.float32
    assert set(np.nonzero(np.abs(gradient).sum(1))[0]) == {1, 2, 3, 4, 5}


def test_embedding_without_projection_is_the_normalised_sum():
    layer = embedding(d_emb=None, projection=False, layer_norm_epsilon=0.5)
    y = layer(IDS, segment_ids=np.ones_like(IDS))
    summed = np.asarray(layer.token_embedding)[IDS] + np.asarray(layer.segment_embedding)[1]
    summed = summed + np.asarray(layer.position_embedding)[:4]
    centred = summed - summed.mean(-1, keepdims=True)
    expected = centred / np.sqrt(centred.var(-1, keepdims=True) + 0.5)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)
    assert len(layer.weights) == 5
    assert embedding(d_emb=6, projection=False, dtype="bfloat16")(IDS).dtype == "bfloat16"
    with pytest.raises(ValueError, match="d_emb=4 differs from d_model=6 and needs a projection"):
        embedding(projection=False)


def test_embedding_config_makes_the_same_layer():
    layer = embedding(d_emb=6, dropout_rate=0.3, projection=False, layer_norm_epsilon=1e-5)
    assert layers.TokenEmbedding.from_config(layer.get_config()).get_config() == layer.get_config()


def test_initial_values_are_those_of_the_published_models():
    keras.utils.set_random_seed(0)
    layer = embedding(vocabulary_size=2000, d_emb=64, d_model=256, max_sequence_length=512)
    layer.build((None, None))
    for table in (layer.token_embedding, layer.position_embedding):
        np.testing.assert_allclose(np.std(table), 0.02, rtol=0.03)
        # A truncated normal would end at two standard deviations.
        assert np.abs(table).max() > 0.06
    np.testing.assert_allclose(np.std(layer.hidden_mapping_in.kernel), 64**-0.5, rtol=0.03)
    experts = layers.Experts(3, 128)
    experts.build((3, None, 64))
    np.testing.assert_allclose(np.std(experts.kernel_in, axis=(1, 2)), 0.02, rtol=0.05)
    assert np.abs(experts.kernel_in[0] - experts.kernel_in[1]).max() > 0.02
    assert not np.any(experts.bias_in)


def test_attention_to_padding_is_nothing_to_real_tokens_and_harmless_to_padding():
    layer, x = layers.SelfAttention(2), sample(2, 8, 6)
    mask = np.array([[True] * 5 + [False] * 3, [False] * 8])
    y = np.asarray(layer(x, padding_mask=mask))
    noisy = np.concatenate([x[:, :5], 1e3 * x[:, 5:]], axis=1)
    np.testing.assert_array_equal(layer(noisy, padding_mask=mask)[0, :5], y[0, :5])
    np.testing.assert_allclose(y[0, :5], layer(x[:1, :5])[0], rtol=1e-5, atol=1e-6)
    assert np.isfinite(y).all()


def test_attention_drops_probabilities_and_scales_the_rest():
    tokens, rate = 8, 0.25
    layer = layers.SelfAttention(num_heads=1, dropout_rate=rate)
    layer.build((None, None, tokens))
    # No score differs from another, and what is mixed are the rows of the identity.
    identity, zeros = np.eye(tokens), np.zeros((tokens, tokens))
    for projection, kernel in zip(
        (layer.query, layer.key, layer.value, layer.out),
        (zeros, zeros, identity, identity),
        strict=True,
    ):
        projection.set_weights([kernel, np.zeros(tokens)])
    x = np.broadcast_to(identity, (40, tokens, tokens)).astype("float32")
    np.testing.assert_allclose(layer(x), 1 / tokens, rtol=1e-6)
    mixed = np.asarray(layer(x, training=True))
    dropped = mixed == 0
    np.testing.assert_allclose(mixed[~dropped], 1 / tokens / (1 - rate), rtol=1e-6)
    assert abs(dropped.mean() - rate) < 0.04


def test_the_gradient_of_attention_meets_the_mask_of_the_forward_pass():
    layer, x = layers.SelfAttention(2, dropout_rate=0.4), sample(2, 8, 6)
    layer.build(x.shape)
    for number, weight in enumerate(layer.trainable_variables):
        # So small that every token has its share.
        weight.assign(0.5 * np.random.default_rng(number).normal(size=weight.shape))
    mask = np.array([[True] * 5 + [False] * 3, [True] * 8])
    upstream, *directions = np.random.default_rng(8).normal(size=(9, *x.shape)).astype("float32")

    def loss(x):
        with random_key(np.array([3, 4], "uint32")):
            y = layer(x, padding_mask=mask, training=True)
        return ops.sum(y * upstream), y

    _, (gradient,) = gradients(loss, [x])
    step = 1e-2
    for direction in directions:
        ahead, behind = (float(loss(x + sign * step * direction)[0]) for sign in (1, -1))
        slope = float(np.sum(np.asarray(gradient) * direction))
        assert slope == pytest.approx((ahead - behind) / (2 * step), rel=2e-3, abs=2e-3)


def test_attention_refuses_heads_that_do_not_divide_the_width():
    with pytest.raises(ValueError, match="d_model=6 is not divisible by num_heads=4"):
        layers.SelfAttention(4).build((None, 8, 6))


def test_sublayer_normalises_before_or_after():
    inner = layers.FeedForward(10)
    x = sample(2, 4, 6)
    post, pre = layers.Sublayer(inner), layers.Sublayer(inner, norm="pre")
    for layer in (post, pre):
        layer.build(x.shape)
    np.testing.assert_allclose(post(x), post.layer_norm(x + inner(x)), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(pre(x), x + inner(pre.layer_norm(x)), rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="norm='sandwich' is unknown; use 'post' or 'pre'"):
        layers.Sublayer(inner, norm="sandwich")


def test_pooler_looks_at_the_first_token_alone():
    layer, x = layers.Pooler(), sample(2, 4, 6)
    y = layer(x)
    assert y.shape == (2, 6)
    np.testing.assert_allclose(y, np.tanh(layer.projection(x[:, 0])), rtol=1e-5)
    np.testing.assert_array_equal(y, layer(np.concatenate([x[:, :1], 2 * x[:, 1:]], axis=1)))


POSITIONS = np.array([[0, 3], [2, 2]])


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_head_predicts_with_the_word_table_and_trains_it(dtype):
    table = embedding(dtype=dtype)
    head = layers.MaskedLMHead(table, dtype=dtype)
    x = sample(2, 4, 6)
    head.build((2, 4, 6))

    def loss():
        return ops.sum(head(x, POSITIONS) ** 2), None

    _, (gradient,) = gradients(loss, variables=[table.token_embedding])
    logits = head(x, POSITIONS)
    assert logits.shape == (2, 2, 30) and logits.dtype == "float32"
    assert np.abs(gradient).min(axis=1).max() > 0
    np.testing.assert_array_equal(logits[1, 0], logits[1, 1])
    other = np.concatenate([x[:, :1], -x[:, 1:2], x[:, 2:]], axis=1)
    np.testing.assert_array_equal(head(other, POSITIONS), logits)


def test_head_works_in_a_functional_model_and_survives_its_config():
    table = embedding()
    head = layers.MaskedLMHead(table, activation="gelu_exact", layer_norm_epsilon=1e-5)
    x = keras.Input((4, 6))
    positions = keras.Input((None,), dtype="int32")
    model = keras.Model([x, positions], head(x, positions))
    assert model.output.shape == (None, None, 30)
    assert any(v is table.token_embedding for v in model.trainable_variables)
    copy = layers.MaskedLMHead.from_config(head.get_config())
    assert copy.embedding.get_config() == table.get_config()
    assert copy.get_config() == head.get_config()


def test_gathering_refuses_other_batches_and_more_positions_than_tokens():
    head = layers.MaskedLMHead(embedding())
    with pytest.raises(ValueError, match="batch of 1 rows of positions .* batch of 2"):
        head(sample(2, 4, 6), POSITIONS[:1])
    with pytest.raises(ValueError, match="5 positions were asked of a sequence of 4 tokens"):
        head(sample(2, 4, 6), np.zeros([2, 5], "int32"))
