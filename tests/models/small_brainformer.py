"""A small causal stack, text for it, and one call of it."""

import keras
import numpy as np
import tensorflow as tf

from sparse_mixer_tf.models import BrainformerBackbone

VOCABULARY, SPAN = 11, 8
TOP_2 = {
    "num_experts": 10,
    "router": "dropless",
    "gate": "top_k",
    "num_selected_experts": 2,
    "balance_loss_factor": 0.0,
    "router_z_loss_factor": 0.0,
}


def make(architecture, seed=1, **options):
    keras.utils.set_random_seed(seed)
    backbone = BrainformerBackbone(
        **{
            "vocabulary_size": VOCABULARY,
            "architecture": architecture,
            "d_model": 8,
            "d_ff": 12,
            "num_heads": 2,
            "attn_span": SPAN,
            "routing": TOP_2 if "g" in architecture else None,
            **options,
        }
    )
    rng = np.random.default_rng(seed)
    for variable in backbone.weights:
        if "layer_norm" in variable.path or "bias" in variable.path:
            variable.assign_add(0.3 * rng.standard_normal(variable.shape))
        elif "experts/kernel" in variable.path:
            variable.assign(0.3 * rng.standard_normal(variable.shape))
    return backbone


def tokens(length, batch=2, seed=0):
    rng = np.random.default_rng(seed)
    return tf.constant(rng.integers(0, VOCABULARY, (batch, length)), tf.int32)


def run(backbone, token_ids, memory=None):
    if memory is None:
        memory = backbone.no_memory(token_ids.shape[0])
    outputs = backbone({"token_ids": token_ids, "memory": memory})
    return outputs["sequence_output"], outputs["memory"]
