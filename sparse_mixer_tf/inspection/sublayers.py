"""The sublayer table, and how long each sublayer takes."""

import time
from statistics import median

import numpy as np
import tensorflow as tf

from sparse_mixer_tf import cost
from sparse_mixer_tf.architecture import SUBLAYERS, parse
from sparse_mixer_tf.layers import MixtureOfExperts
from sparse_mixer_tf.tasks.task import Task

REPEATS = 5


def table(task: Task, routed_tokens: int) -> list[dict]:
    """A row a sublayer, in order, those of embeddings and heads around them where they are known.

    Operations are those of `cost`, which knows bidirectional models; parameters are counted.

    Args:
        routed_tokens: tokens routed together in training.

    Returns:
        `{"name", "kind", "parameters", "active_parameters", "weights", "flops"}`, the last two left
        out for language models.
    """
    if task.initial_memory is None:
        return _estimated(task, routed_tokens)
    model, seen, rows = task.model_settings, set(), []
    letters = parse(model.architecture).letters
    for position, (letter, layer) in enumerate(
        zip(letters, task.model.backbone.sublayers, strict=True)
    ):
        parameters = layer.count_params()
        active = parameters
        if isinstance(layer.inner, MixtureOfExperts):
            idle = model.num_experts - model.num_selected_experts
            active -= layer.inner.experts.count_params() * idle // model.num_experts
        reused = layer.name in seen
        seen.add(layer.name)
        rows.append(
            {
                "name": f"sublayer_{position:02d}_{letter}",
                "kind": SUBLAYERS[letter] + (" (weights reused)" if reused else ""),
                "parameters": 0 if reused else parameters,
                "active_parameters": active,
            }
        )
    return rows


def _estimated(task: Task, routed_tokens: int) -> list[dict]:
    data = task.data_settings
    pretrains = task.settings.task == "pretrain"
    rows = cost.table(
        task.model_settings,
        task.vocabulary.size,
        data.max_seq_length,
        data.num_predictions if pretrains else 0,
        routed_tokens,
        pretrains and task.has_order,
    )
    names = ("name", "kind", "parameters", "active_parameters", "weights", "flops")
    # The heads of `cost` are those of pre-training.
    return [
        {name: getattr(row, name) for name in names}
        for row in rows
        if pretrains or row.name != "heads"
    ]


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

    measured = []
    for _ in range(REPEATS + 1):
        start = time.perf_counter()
        run(x).numpy()
        measured.append(time.perf_counter() - start)
    return median(measured[1:])
