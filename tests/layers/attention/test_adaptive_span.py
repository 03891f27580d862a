"""Learned spans: the mask, its loss, its limits, and the work that shrinks with them."""

import keras
import numpy as np
import pytest
from keras import ops

from sparse_mixer_tf.layers import AdaptiveSpan, needed_span
from sparse_mixer_tf.layers.attention.adaptive_span import renormalized, span_mask
from tests.layers.backend import gradients
from tests.reference_files import read_arrays, read_config, reference_names


def test_the_mask_is_one_within_the_reach_and_falls_over_the_ramp():
    mask = np.asarray(span_mask(np.array([0.0, 0.5, 1.0], "float32"), 10, 4, 10))
    back = np.arange(9, -1, -1)
    for row, reach in zip(mask, (0, 5, 10), strict=True):
        np.testing.assert_allclose(row, np.clip(1 + (reach - back) / 4, 0, 1), atol=1e-6)
    # The nearest slot is last, and is seen by a head that has learned nothing.
    assert mask[0].tolist() == [0, 0, 0, 0, 0, 0, 0.25, 0.5, 0.75, 1]
    np.testing.assert_array_equal(span_mask(np.array([0.5], "float32"), 10, 4, 6), mask[1:2, 4:])


@pytest.mark.parametrize("name", reference_names("brainformer", "attn_adapt_*"))
def test_the_mask_is_that_of_the_original(name):
    reference, config = read_arrays("brainformer", name), read_config("brainformer", name)
    reach = reference["param/attn.adaptive_span._mask.current_val"].reshape(-1)
    span, ramp = config["span"], config["ramp"]
    mask = span_mask(reach, span, ramp, span)
    np.testing.assert_allclose(mask, reference["f64/mask"], atol=2e-6)
    assert needed_span(reach, span, ramp) == span - reference["trim_len"]


@pytest.mark.parametrize(
    "reach, span, ramp, expected",
    [
        (0.0, 2048, 32, 64),
        (0.0, 1024, 32, 64),
        (0.5, 2048, 32, 1088),
        (1.0, 512, 32, 512),
        (0.0, 40, 32, 40),
        (0.3, 256, 32, 128),
        (0.0, 100, 32, 36),
        (0.0, 64, 64, 64),
    ],
)
def test_the_needed_span_is_whole_but_for_a_multiple_of_64(reach, span, ramp, expected):
    assert needed_span(np.array([0.0, reach]), span, ramp) == expected
    visible = np.asarray(span_mask(np.array([reach], "float32"), span, ramp, span))[0]
    assert not visible[: span - expected].any()


def test_few_lengths_ever_occur():
    lengths = {needed_span(np.array([z]), 2048, 32) for z in np.linspace(0, 1, 5000)}
    assert len(lengths) == 2048 // 64


def test_masked_probabilities_sum_to_one_again():
    layer = AdaptiveSpan(2, 12, ramp=4, initial_span=0.3)
    layer.build()
    rng = np.random.default_rng(0)
    probabilities = ops.softmax(rng.standard_normal((2, 2, 3, 5, 12)).astype("float32"))
    masked = np.asarray(layer(probabilities))
    np.testing.assert_allclose(masked.sum(axis=-1), 1, atol=1e-6)
    mask = np.asarray(span_mask(np.array([0.3], "float32"), 12, 4, 12))[0]
    assert not masked[..., mask == 0].any()
    assert masked[..., mask > 0].all()


def test_the_loss_is_the_mean_reach_in_tokens_once_for_two_calls():
    layer = AdaptiveSpan(2, 100, loss_factor=2e-3)
    layer.build()
    layer.reach.assign([0.25, 0.75])
    probabilities = np.full((1, 2, 3, 100), 0.01, "float32")

    def loss():
        layer(layer(probabilities))
        return sum(layer.losses), sum(layer.losses)

    found, (gradient,) = gradients(loss, variables=[layer.reach])
    np.testing.assert_allclose(found, 2e-3 * 100 * 0.5, rtol=1e-6)
    np.testing.assert_allclose(gradient, [0.1, 0.1], rtol=1e-6)


@pytest.mark.tensorflow
# Collectives cannot be compiled here.
@pytest.mark.parametrize("replicas, jit_compile", [(1, False), (1, True), (2, False)])
def test_an_update_never_leaves_the_unit_interval(replicas, jit_compile):
    import tensorflow as tf

    from sparse_mixer_tf.training.distributed.strategy import mirrored

    devices = tuple(f"CPU:{i}" for i in range(replicas))
    strategy = mirrored(devices) if replicas > 1 else None
    scope = (strategy or tf.distribute.get_strategy()).scope
    with scope():
        layer = AdaptiveSpan(3, 10, initial_span=0.5)
        layer.build()
        optimizer = keras.optimizers.SGD(1.0)
        optimizer.build(layer.trainable_variables)

    @tf.function(jit_compile=jit_compile)
    def update():
        gradient = tf.constant([10.0, -10.0, 0.25])
        optimizer.apply([gradient / replicas], layer.trainable_variables)

    for _ in range(2):
        strategy.run(update) if strategy else update()
        reach = layer.reach.value
        parts = strategy.experimental_local_results(reach) if strategy else [reach]
        for part in parts:
            assert part.numpy()[:2].tolist() == [0, 1]
    np.testing.assert_allclose(parts[0][2], 0.0, atol=1e-6)


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match=r"initial_span=1.5 is not in \[0, 1\]"):
        AdaptiveSpan(2, 10, initial_span=1.5)
    with pytest.raises(ValueError, match="ramp=0 is too short"):
        AdaptiveSpan(2, 10, ramp=0)


@pytest.mark.parametrize("mask_shape", [(1, 2, 1, 5), (1, 2, 1, 3, 5), (1, 1, 1, 5)])
def test_the_gradient_of_renormalizing_is_that_of_its_formula(mask_shape):
    rng = np.random.default_rng(0)
    shape = (4, 2, 6, 3, 5) if len(mask_shape) == 5 else (4, 2, 3, 5)
    p, mask, upstream = (rng.random(size, "float32") for size in (shape, mask_shape, shape))

    def plain(p, mask):
        return p * mask / (ops.sum(p * mask, axis=-1, keepdims=True) + 1e-8)

    found = []
    for function in (renormalized, plain):

        def loss(p, mask, function=function):
            y = function(p, mask)
            return ops.sum(y * upstream), y

        y, of_both = gradients(loss, [p, mask])
        found.append([y, *of_both])
    for ours, expected in zip(*found, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=2e-5, atol=1e-6)
