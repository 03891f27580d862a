"""A small mixture-of-experts layer and token vectors for it."""

import numpy as np

from sparse_mixer_tf.layers import MixtureOfExperts

D_MODEL = 6


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
