"""A small layer of experts, something to put into it, and how often laws are tried."""

import numpy as np
from hypothesis import settings

from sparse_mixer_tf.layers import MixtureOfExperts
from tests.layers.backend import ON_JAX

D_MODEL = 6
# JAX compiles every operation for every shape.
few = settings(max_examples=2 if ON_JAX else 15, deadline=None, derandomize=True, database=None)


def layer_for(router, activation="gelu", inner_dropout_rate=0.0, **routing):
    options = {"activation": activation, "inner_dropout_rate": inner_dropout_rate}
    settings = {"num_experts": 4, "router": router, "min_expert_capacity": 1, **routing}
    layer = MixtureOfExperts(10, settings, **options)
    layer.build((None, None, D_MODEL))
    rng = np.random.default_rng(5)
    layer.set_weights([rng.normal(size=w.shape, scale=0.5) for w in layer.get_weights()])
    return layer


def tokens_of(batch, seq, seed):
    return np.random.default_rng(seed).normal(size=(batch, seq, D_MODEL)).astype("float32")
