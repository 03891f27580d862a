"""Activations are what their names say, and their derivatives are theirs."""

import math

import numpy as np
import pytest
import tensorflow as tf

from sparse_mixer_tf.layers.activations import ACTIVATIONS, activation_named

X = np.linspace(-6, 6, 241)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_derivative_is_what_automatic_differentiation_says(name):
    x = tf.constant(X + 1e-3)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = activation_named(name).function(x)
    np.testing.assert_allclose(
        activation_named(name).derivative(x), tape.gradient(y, x), rtol=1e-5, atol=1e-7
    )


def test_exact_gelu_is_x_times_the_normal_distribution_function():
    expected = [0.5 * x * (1 + math.erf(x / math.sqrt(2))) for x in X]
    np.testing.assert_allclose(
        activation_named("gelu_exact").function(tf.constant(X)), expected, rtol=1e-5, atol=1e-7
    )
    # The approximation is another function, by less than a thousandth.
    difference = np.abs(activation_named("gelu").function(tf.constant(X)) - expected)
    assert 1e-4 < difference.max() < 1e-3


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_half_precision_stays_half_precision(name):
    x = tf.constant(X, "bfloat16")
    for function in activation_named(name):
        assert function(x).dtype == tf.bfloat16
