"""The sublayer table, and how long each sublayer takes."""

from statistics import median

import numpy as np
import tensorflow as tf

from sparse_mixer_tf.autotune import timing
from sparse_mixer_tf.tasks.base import Task

REPEATS = 5


def table(task: Task, routed_tokens: int) -> list[dict]:
    """A row a sublayer, in order, with those of embeddings and heads around them; see `cost`.

    Args:
        routed_tokens: tokens routed together in training.

    Returns:
        `{"name", "kind", "parameters", "active_parameters", "weights", "flops"}`.
    """
    names = ("name", "kind", "parameters", "active_parameters", "weights", "flops")
    return [{name: getattr(row, name) for name in names} for row in task.cost_table(routed_tokens)]


def forward_seconds(task: Task, token_ids: np.ndarray, real: np.ndarray) -> dict[str, float]:
    """Median seconds of each sublayer's forward pass, alone, in graph mode, by name.

    Args:
        token_ids: int [batch, seq].
        real: bool [batch, seq].
    """
    backbone, seconds = task.model.backbone, {}
    if task.initial_memory is None:
        x = backbone.token_embedding(token_ids, np.zeros_like(token_ids))
        extras = {name: {"padding_mask": tf.constant(real)} for name in _names(backbone)}
    else:
        x = backbone.token_embedding(token_ids)
        shape = (len(token_ids), backbone.attn_span, backbone.d_model)
        seen = {"memory": tf.zeros(shape, x.dtype)}
        if backbone.position_table is not None:
            seen["position_table"] = backbone.position_table(token_ids)
        extras = {n: seen if n in backbone.attentions else {} for n in _names(backbone)}
    for layer in backbone.sublayers:
        if layer.name not in seconds:
            seconds[layer.name] = _seconds(layer, x, extras[layer.name])
        x = layer(x, training=False, **extras[layer.name])
    return seconds


def _names(backbone) -> set[str]:
    return {layer.name for layer in backbone.sublayers}


def _seconds(layer, x, extras: dict) -> float:
    @tf.function(autograph=False)
    def run(x):
        # One number to wait for, whatever the device.
        return tf.reduce_sum(tf.cast(layer(x, training=False, **extras), tf.float32))

    return median(timing.seconds(lambda: run(x).numpy(), REPEATS))
