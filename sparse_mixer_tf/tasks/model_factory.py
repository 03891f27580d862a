"""The encoder that every task stands on: built from its settings, run, its routing measured."""

from collections import Counter
from contextlib import nullcontext
from typing import NamedTuple

import numpy as np
from keras import ops

from sparse_mixer_tf.layers import RoutingSettings, observe_routing, random_key
from sparse_mixer_tf.models import SparseMixerBackbone
from sparse_mixer_tf.settings import ModelSettings

ROUTING_MEANS = (
    "dropped_fraction",
    "expert_usage",
    "router_confidence",
    "router_entropy",
    "load_cv",
)


class Forward(NamedTuple):
    """Outputs and losses of a model for a batch.

    Attributes:
        outputs: of the model.
        routing: (layer, measures) of every expert layer.
        auxiliary_loss: float scalar; balance losses and z-losses with their factors.
    """

    outputs: object
    routing: list
    auxiliary_loss: object


def routing_settings(model: ModelSettings) -> RoutingSettings | None:
    """Return the routing settings of a model; None where it has no experts."""
    if "g" not in model.architecture:
        return None
    return RoutingSettings(
        num_experts=model.num_experts,
        router=model.router,
        num_selected_experts=model.num_selected_experts,
        capacity_factor=model.capacity_factor,
        eval_capacity_factor=model.eval_capacity_factor,
        min_expert_capacity=model.min_expert_capacity,
        batch_prioritized_routing=model.batch_prioritized_routing,
        jitter_noise=model.jitter_noise,
        max_group_size=model.max_group_size,
        dispatch=model.dispatch,
        gate=model.gate,
        balance_loss_factor=model.balance_loss_factor,
        router_z_loss_factor=model.router_z_loss_factor,
        route_padding=model.route_padding,
    )


def build_backbone(
    model: ModelSettings, vocabulary_size: int, max_seq_length: int, precision: str
) -> SparseMixerBackbone:
    """The encoder that the settings describe."""
    return SparseMixerBackbone(
        vocabulary_size=vocabulary_size,
        architecture=model.architecture,
        d_model=model.d_model,
        d_ff=model.d_ff,
        d_emb=model.d_emb,
        num_heads=model.num_heads,
        max_sequence_length=max_seq_length,
        num_segments=model.num_segments,
        dropout_rate=model.dropout_rate,
        attention_dropout_rate=model.attention_dropout_rate,
        expert_d_ff=model.expert_d_ff,
        expert_dropout_rate=model.expert_dropout_rate,
        routing=routing_settings(model),
        mixing_implementation=model.mixing_implementation,
        mask_padding_in_mixing=model.mask_padding_in_mixing,
        mask_padded_queries=model.mask_padded_queries,
        share_block_weights=model.share_block_weights,
        norm=model.norm,
        activation=model.activation,
        embedding_projection=model.embedding_projection,
        layer_norm_epsilon=model.layer_norm_epsilon,
        dtype=precision,
    )


def model_inputs(model, batch: dict) -> dict:
    """The part of a batch that a functional model takes; labels and weights are left out."""
    return {name: batch[name] for name in model.input}


def forward(model, batch: dict, key) -> Forward:
    """Runs a model.

    Args:
        key: uint32 [2], from which dropout is derived; None for a pass without dropout.
    """
    training = key is not None
    with observe_routing() as routing, random_key(key) if training else nullcontext():
        outputs = model(model_inputs(model, batch), training=training)
    return Forward(outputs, routing, sum(model.losses, ops.zeros(())))


def routing_metrics(routing: list, share) -> dict:
    """Return the contribution of a part of a batch to the routing metrics of a step.

    Args:
        share: float, 1 / number of parts.
    """
    layers = [values for _, values in routing]
    if not layers:
        return {}
    metrics = {
        "balance_loss": share * sum(layer["balance_loss"] for layer in layers),
        "router_z_loss": share * sum(layer["router_z_loss"] for layer in layers),
    }
    for name in ROUTING_MEANS:
        metrics[name] = share * sum(layer[name] for layer in layers) / len(layers)
    return metrics


def routing_sums(routing: list) -> dict:
    """Return the contribution of a held-out batch to the routing sums."""
    if not routing:
        return {}
    layers = by_use(routing)
    return {
        "expert_load": {name: values["expert_load"] for name, values in layers.items()},
        "routing": {
            name: {measure: values[measure] for measure in ROUTING_MEANS}
            for name, values in layers.items()
        },
    }


def routing_summary(sums: dict) -> dict:
    """Held-out routing metrics from the sums over all batches, their means and layer by layer."""
    if "expert_load" not in sums:
        return {}
    batches = sums["batches"]
    by_layer = {
        name: {measure: float(total / batches) for measure, total in measures.items()}
        for name, measures in sums["routing"].items()
    }
    return {
        **{name: float(np.mean([m[name] for m in by_layer.values()])) for name in ROUTING_MEANS},
        "routing_by_layer": by_layer,
        "expert_load": {
            name: (load / batches).tolist() for name, load in sums["expert_load"].items()
        },
    }


def by_use(reports: list[tuple[str, object]]) -> dict[str, object]:
    """Reports of layers by name; a layer that is called several times is told apart by its call.

    >>> by_use([("a", 1), ("b", 2), ("a", 3)])
    {'a': 1, 'b': 2, 'a, use 2': 3}
    """
    named, uses = {}, Counter()
    for path, report in reports:
        uses[path] += 1
        named[path if uses[path] == 1 else f"{path}, use {uses[path]}"] = report
    return named
