import numpy as np
import pytest
import tensorflow as tf

from sparse_mixer_tf.layers import SelfAttention
from sparse_mixer_tf.layers.weighted_values import HIDDEN, weighted_values


@pytest.mark.parametrize("leading", [(), (2,), (2, 3)])
def test_values_and_gradients_are_those_of_softmax_and_product_in_float64(leading):
    draw = np.random.default_rng(0)
    logits = draw.normal(0, 3, (*leading, 5, 7))
    logits[..., 0, 3:] += HIDDEN
    value, upstream = draw.normal(size=(*leading, 7, 4)), draw.normal(size=(*leading, 5, 4))
    kept = draw.choice([0.0, 1.25], logits.shape, p=[0.2, 0.8])
    found = []
    for ours, dtype in ((True, "float32"), (False, "float64")):
        factors = tf.constant(kept, dtype)
        given = [tf.constant(array, dtype) for array in (logits, value)]
        with tf.GradientTape() as tape:
            tape.watch(given)
            if ours:
                y = weighted_values(*given, lambda x, factors=factors: x * factors)
            else:
                y = tf.matmul(tf.nn.softmax(given[0]) * factors, given[1])
        found.append([y, *tape.gradient(y, given, tf.constant(upstream, dtype))])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("mask_padded_queries", [False, True])
def test_queries_that_see_nothing_average_everything_and_teach_no_key(mask_padded_queries):
    layer = SelfAttention(2, mask_padded_queries=mask_padded_queries)
    x = tf.random.stateless_normal([2, 6, 8], [1, 2])
    layer.build(x.shape)
    real = tf.constant([[True] * 4 + [False] * 2, [False] * 6])
    blind = (
        tf.cast(~real, "float32") if mask_padded_queries else tf.constant([[0.0] * 6, [1.0] * 6])
    )
    with tf.GradientTape() as tape:
        y = layer(x, padding_mask=real)
        loss = tf.reduce_sum(tf.square(y) * blind[:, :, None])
    even = layer.out(tf.reduce_mean(layer.value(x), axis=1, keepdims=True))
    expected = tf.where(blind[:, :, None] > 0, tf.broadcast_to(even, y.shape), y)
    np.testing.assert_allclose(y, expected, atol=1e-5)
    for gradient in tape.gradient(loss, [layer.query.kernel, layer.key.kernel]):
        np.testing.assert_array_equal(gradient, np.zeros([8, 8]))
