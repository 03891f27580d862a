"""Outputs and gradients of every sublayer on whatever backend Keras has.

python -m tests.layers.numbers_of_layers FILE.npz
"""

import sys

import keras
import numpy as np

from sparse_mixer_tf import layers
from tests.layers.catalogue import BATCH, D_MODEL, SEQ, SUBLAYERS

KEY = np.array([7, 11], np.uint32)
X = np.random.default_rng(1).normal(size=(BATCH, SEQ, D_MODEL)).astype("float32")
MASK = np.arange(SEQ) < np.array([[SEQ], [5], [2]])


def set_weights(layer):
    """Weights that depend on their order and shape alone."""
    rng = np.random.default_rng(2)
    for variable in layer.trainable_variables:
        variable.assign(rng.normal(size=variable.shape).astype("float32") * 0.5)


def numbers() -> dict[str, np.ndarray]:
    """Arrays by the name of the layer and of the quantity."""
    results = {}
    for name, build in SUBLAYERS.items():
        layer = build()
        layer.build(X.shape)
        set_weights(layer)
        y, gradients = forward_and_backward(layer)
        results[f"{name}/y"] = np.asarray(y)
        for index, gradient in enumerate(gradients):
            results[f"{name}/gradient_{index}"] = np.asarray(gradient)
    embedding = layers.TokenEmbedding(30, D_MODEL, SEQ, d_emb=4)
    embedding.build((BATCH, SEQ))
    set_weights(embedding)
    ids = np.arange(BATCH * SEQ).reshape(BATCH, SEQ) % 30
    embedded = embedding(ids, segment_ids=ids % 4)
    head = layers.MaskedLMHead(embedding)
    head.build((BATCH, SEQ, D_MODEL))
    set_weights(head)
    pooler = layers.Pooler()
    pooler.build((BATCH, SEQ, D_MODEL))
    set_weights(pooler)
    results["embedding"] = np.asarray(embedded)
    results["head"] = np.asarray(head(embedded, ids[:, :3] % SEQ))
    results["pooler"] = np.asarray(pooler(embedded))
    return results


def forward_and_backward(layer):
    """Output, and gradients for the weights, of a compiled training step with dropout on."""
    if keras.backend.backend() == "jax":
        import jax

        def loss(trainable, fixed, x, mask):
            with layers.random_key(KEY):
                y, _, losses = layer.stateless_call(
                    trainable, fixed, x, padding_mask=mask, training=True, return_losses=True
                )
            return (y**2).sum() + sum(losses), y

        step = jax.jit(jax.grad(loss, has_aux=True))
        trainable = [v.value for v in layer.trainable_variables]
        fixed = [v.value for v in layer.non_trainable_variables]
        gradients, y = step(trainable, fixed, X, MASK)
        return y, gradients
    import tensorflow as tf

    @tf.function(autograph=False)
    def step(x, mask):
        with layers.random_key(KEY), tf.GradientTape() as tape:
            y = layer(x, padding_mask=mask, training=True)
            loss = tf.reduce_sum(y**2) + sum(layer.losses)
        return y, tape.gradient(loss, [v.value for v in layer.trainable_variables])

    return step(tf.constant(X), tf.constant(MASK))


if __name__ == "__main__":
    np.savez(sys.argv[1], **numbers())
