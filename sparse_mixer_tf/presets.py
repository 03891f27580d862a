"""Model presets: a name stands for an architecture string and the sizes beside it.

Keys are the names of the flags and settings they fill in. Parameter counts in the comments are at a
vocabulary of 32,000 with the masked-word and order heads included.
"""

import difflib
from typing import Any

from sparse_mixer_tf import architecture


def _sizes(layers: str, d_model: int, d_ff: int, num_heads: int, **experts: Any) -> dict[str, Any]:
    return {
        "architecture": layers,
        "d_emb": d_model,
        "d_model": d_model,
        "d_ff": d_ff,
        "num_heads": num_heads,
        "expert_d_ff": d_ff,
        "num_experts": 0,
        "capacity_factor": 1.0,
        "eval_capacity_factor": 1.0,
        "max_seq_length": 512,
        **experts,
    }


def _sparse_mixer(num_layers: int, capacity_factor: float = 1.0) -> dict[str, Any]:
    """Linear mixing below, four attention layers on top, four expert layers in the middle."""
    return _sizes(
        architecture.lay_out("l", num_layers, 4, "top", 4, "middle"),
        d_model=512,
        d_ff=2048,
        num_heads=8,
        num_experts=16,
        capacity_factor=capacity_factor,
        eval_capacity_factor=capacity_factor,
    )


def _of_bert_size(mixing: str) -> dict[str, Any]:
    """BERT Base with its attention replaced by one kind of mixing, as in the FNet paper."""
    return _sizes(architecture.lay_out(mixing, 12), d_model=768, d_ff=3072, num_heads=12)


PRESETS: dict[str, dict[str, Any]] = {
    "sparse_mixer_small": _sparse_mixer(8),  # 166,600,514 parameters
    "sparse_mixer_base": _sparse_mixer(14),  # 182,356,802
    "fast_sparse_mixer_base": _sparse_mixer(14, capacity_factor=0.5),  # 182,356,802
    "bert_base": _of_bert_size("s"),  # 111,835,138
    "fnet_base": _of_bert_size("r"),
    "linear_base": _of_bert_size("l"),
    "hartley_base": _of_bert_size("h"),
    "circulant_base": _of_bert_size("c"),
    "toeplitz_base": _of_bert_size("t"),
}


def get(name: str) -> dict[str, Any]:
    """The settings of a preset, a fresh dict that the caller may change.

    Raises:
        ValueError: for an unknown name, with the nearest known one.

    References:
        [Sparse Mixers](https://arxiv.org/abs/2205.12399), [FNet](https://arxiv.org/abs/2105.03824),
        [BERT](https://arxiv.org/abs/1810.04805)
    """
    if name not in PRESETS:
        nearest = difflib.get_close_matches(name, PRESETS, n=1, cutoff=0.0)[0]
        raise ValueError(
            f"--preset={name} is unknown; did you mean {nearest}? "
            f"Known presets: {', '.join(PRESETS)}"
        )
    return dict(PRESETS[name])
