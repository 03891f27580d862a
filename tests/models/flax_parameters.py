"""Builds the models that reference runs of the published JAX models describe."""

import numpy as np

from sparse_mixer_tf.architecture import lay_out, parse
from sparse_mixer_tf.conversion.flax.parameter_map import to_ours as convert
from sparse_mixer_tf.models import SparseMixerBackbone

MIXING = {"BERT": "s", "F_NET": "r", "LINEAR": "l", "H_NET": "h", "C_NET": "c", "T_NET": "t"}
ROUTERS = {
    "MASK_EXPERTS_CHOOSE": ("experts_choose", "einsum"),
    "MASK_TOKENS_CHOOSE": ("tokens_choose", "einsum"),
    "SCATTER_TOKENS_CHOOSE": ("tokens_choose", "gather"),
}


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
        convert(path.removeprefix(f"{group}/"), array, letters, "head/")
        for path, array in arrays.items()
        if path.startswith(f"{group}/")
    )
