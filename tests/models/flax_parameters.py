"""Reads reference runs of the published JAX models and lays their parameters out as ours."""

import json
import re
from pathlib import Path

import numpy as np

from sparse_mixer_tf.architecture import lay_out, parse
from sparse_mixer_tf.models import SparseMixerBackbone

MIXING = {"BERT": "s", "F_NET": "r", "LINEAR": "l", "H_NET": "h", "C_NET": "c", "T_NET": "t"}
ROUTERS = {
    "MASK_EXPERTS_CHOOSE": ("experts_choose", "einsum"),
    "MASK_TOKENS_CHOOSE": ("tokens_choose", "einsum"),
    "SCATTER_TOKENS_CHOOSE": ("tokens_choose", "gather"),
}
NORM = {"scale": "gamma", "bias": "beta"}


def read_config(file: Path) -> dict:
    """The configuration that the README beside a reference file gives for it."""
    readme = (file.parent / "README.md").read_text("utf-8")
    return json.loads(
        re.search(rf"## {re.escape(file.name)}\n.*?\nconfig: `(.*?)`", readme, re.S)[1]
    )


def read_arrays(file: Path) -> dict[str, np.ndarray]:
    with np.load(file) as arrays:
        return dict(arrays)


def inputs_of(arrays: dict, config: dict) -> dict[str, np.ndarray]:
    """The batch of a reference run under the names of our batches."""
    batch = {
        "token_ids": arrays["in/input_ids"],
        "segment_ids": arrays["in/type_ids"],
        "padding_mask": arrays["in/input_ids"] != config["pad_id"],
    }
    if "in/masked_lm_positions" in arrays:
        batch["mask_positions"] = arrays["in/masked_lm_positions"]
    return batch


def build_backbone(config: dict, **overrides) -> SparseMixerBackbone:
    """The backbone that a configuration of the published code describes.

    Args:
        overrides: fields of the routing to set otherwise.
    """
    architecture = lay_out(
        MIXING[config["model_arch"]],
        config["num_layers"],
        0 if config["model_arch"] == "BERT" else config["num_attention_layers"],
        config["attention_layout"].lower(),
        config["num_moe_layers"],
        config["moe_layout"].lower(),
    )
    routing = None
    if "g" in architecture:
        router, dispatch = ROUTERS[config["dispatch_algorithm"]]
        routing = {
            "num_experts": config["num_experts"],
            "router": router,
            "dispatch": dispatch,
            "num_selected_experts": config["num_selected_experts"],
            "capacity_factor": config["train_capacity_factor"],
            "eval_capacity_factor": config["eval_capacity_factor"],
            "min_expert_capacity": config["min_expert_capacity"],
            "batch_prioritized_routing": config["batch_prioritized_routing"],
            "jitter_noise": config["jitter_noise"],
            "max_group_size": config["max_group_size"],
            "balance_loss_factor": config["auxiliary_loss_factor"],
            "router_z_loss_factor": config["router_z_loss_factor"],
            "route_padding": True,
            **overrides,
        }
    return SparseMixerBackbone(
        vocabulary_size=config["vocab_size"],
        architecture=architecture,
        d_model=config["d_model"],
        d_ff=config["d_ff"],
        d_emb=config["d_emb"],
        num_heads=config["num_heads"],
        max_sequence_length=config["max_seq_length"],
        num_segments=config["type_vocab_size"],
        expert_d_ff=config["expert_d_ff"],
        routing=routing,
        mixing_implementation="fft" if config["use_fft"] else "matmul",
        mask_padded_queries=True,
    )


def to_ours(arrays: dict, group: str, architecture: str) -> dict[str, np.ndarray]:
    """The arrays of one group (`p` parameters, `g` gradients, `adamw5`) by the paths of ours."""
    letters = parse(architecture).letters
    return dict(
        _convert(path.split("/")[1:], array, letters)
        for path, array in arrays.items()
        if path.startswith(f"{group}/")
    )


def _convert(path: list[str], array: np.ndarray, letters: str) -> tuple[str, np.ndarray]:
    if path[0] != "encoder":
        return _convert_head(path, array)
    name, *rest = path[1:]
    if name == "embedder":
        return _convert_embedding(rest, array)
    if name == "pooler":
        return f"pooler/projection/{rest[0]}", array
    kind, layer = re.fullmatch(r"(\w+)_(\d+)", name).groups()
    # A layer of the published models is two sublayers here: mixing, then feed-forward.
    feeds_forward = (
        kind in ("feed_forward", "expert", "router_weights") or rest[0] == "output_layer_norm"
    )
    index = 2 * int(layer) + feeds_forward
    sublayer = f"sublayer_{index:02d}_{letters[index]}"
    if kind == "encoder":
        return f"{sublayer}/layer_norm/{NORM[rest[1]]}", array
    if kind == "feed_forward":
        return f"{sublayer}/feed_forward/{'/'.join(rest)}", array
    if kind == "attention":
        return f"{sublayer}/attention/{'/'.join(rest[1:])}", _join_heads(rest[1], rest[2], array)
    if kind == "router_weights":
        return f"{sublayer}/moe/router/{rest[1]}", array
    if kind == "expert":
        # Experts are axis 1 of [d_in, experts, d_out] kernels and of [d_out, experts] biases there.
        side = {"intermediate": "in", "output": "out"}[rest[0]]
        return f"{sublayer}/moe/experts/{rest[1]}_{side}", np.swapaxes(array, 0, 1)
    return f"{sublayer}/mixing/{rest[0]}", array


def _convert_embedding(path: list[str], array: np.ndarray) -> tuple[str, np.ndarray]:
    tables = {"word": "token", "position": "position", "type": "segment"}
    if path[0] in tables:
        return f"embedding/{tables[path[0]]}_embedding", array.reshape(array.shape[-2:])
    if path[0] == "layer_norm":
        return f"embedding/layer_norm/{NORM[path[1]]}", array
    return f"embedding/hidden_mapping_in/{path[1]}", array


def _convert_head(path: list[str], array: np.ndarray) -> tuple[str, np.ndarray]:
    return {
        "predictions_dense": lambda: (f"masked_lm_head/projection/{path[1]}", array),
        "predictions_layer_norm": lambda: (f"masked_lm_head/layer_norm/{NORM[path[1]]}", array),
        "predictions_output": lambda: ("masked_lm_head/bias", array),
        # [classes, d_model] there.
        "classification": lambda: (f"head/{path[1].removeprefix('output_')}", array.T),
    }[path[0]]()


def _join_heads(projection: str, weight: str, array: np.ndarray) -> np.ndarray:
    """[d_model, heads, d_head], [heads, d_head] or [heads, d_head, d_model] with heads joined."""
    if projection == "out":
        return array if weight == "bias" else array.reshape(-1, array.shape[-1])
    return array.reshape(-1) if weight == "bias" else array.reshape(array.shape[0], -1)
