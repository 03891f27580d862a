"""Names and layouts of the parameters of the published JAX models, and of ours.

A layer there, which is a mixing or attention sublayer and a feed-forward, is two sublayers here.

References:
    [Sparse Mixers](https://arxiv.org/abs/2205.12399) and
    [its code](https://github.com/google-research/google-research/tree/master/sparse_mixers)
"""

import re

import numpy as np

from sparse_mixer_tf.conversion.portable_model import MASKED_LM_HEAD

NORM = {"scale": "gamma", "bias": "beta"}
TABLES = {"word": "token", "position": "position", "type": "segment"}
EXPERT_SIDES = {"intermediate": "in", "output": "out"}
LAYER = re.compile(r"([a-z_]+)_(\d{1,3})")
# Parts of a layer that mix tokens, by the letter of the sublayer.
MIXING = {
    "attention": "s",
    "linear_transform": "l",
    "circulant_transform": "c",
    "toeplitz_transform": "t",
}
FEED_FORWARD = {"feed_forward": "f", "expert": "g", "router_weights": "g"}


def to_ours(path: str, array: np.ndarray, letters: str, head: str) -> tuple[str, np.ndarray]:
    """One parameter, or its gradient, as ours.

    Args:
        path: such as `encoder/feed_forward_0/output/kernel`.
        array: as it is there.
        letters: of the sublayers of the architecture.
        head: what their `classification` is here: `order_head/` or `logits/`.

    Returns:
        The path of our weight and the array in its layout.

    Raises:
        KeyError, IndexError, ValueError: for some of what no published model has; the rest gets a
            path that none of our weights has.
    """
    first, *rest = path.split("/")
    if first == "encoder":
        return _encoder(rest, array, letters)
    return _head(first, rest, array, head)


def layer_parts(paths) -> dict[int, set[str]]:
    """Return the names of the parts of each layer of the encoder, by the layer's number."""
    parts: dict[int, set[str]] = {}
    for path in paths:
        names = path.split("/")
        match = LAYER.fullmatch(names[1]) if names[0] == "encoder" and len(names) > 1 else None
        if match:
            parts.setdefault(int(match[2]), set()).add(match[1])
    return parts


def _encoder(path: list[str], array: np.ndarray, letters: str) -> tuple[str, np.ndarray]:
    name, *rest = path
    if name == "embedder":
        return _embedding(rest, array)
    if name == "pooler":
        return f"pooler/projection/{rest[0]}", array
    match = LAYER.fullmatch(name)
    if match is None:
        raise ValueError(f"{name} is no part of an encoder")
    kind, layer = match.groups()
    feeds_forward = kind in FEED_FORWARD or rest[0] == "output_layer_norm"
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
        side = EXPERT_SIDES[rest[0]]
        return f"{sublayer}/moe/experts/{rest[1]}_{side}", np.swapaxes(array, 0, 1)
    return f"{sublayer}/mixing/{rest[0]}", array


def _embedding(path: list[str], array: np.ndarray) -> tuple[str, np.ndarray]:
    if path[0] in TABLES:
        return f"embedding/{TABLES[path[0]]}_embedding", array.reshape(array.shape[-2:])
    if path[0] == "layer_norm":
        return f"embedding/layer_norm/{NORM[path[1]]}", array
    return f"embedding/{path[0]}/{path[1]}", array


def _head(name: str, path: list[str], array: np.ndarray, head: str) -> tuple[str, np.ndarray]:
    return {
        "predictions_dense": lambda: (f"{MASKED_LM_HEAD}projection/{path[0]}", array),
        "predictions_layer_norm": lambda: (f"{MASKED_LM_HEAD}layer_norm/{NORM[path[0]]}", array),
        "predictions_output": lambda: (f"{MASKED_LM_HEAD}{path[0].removeprefix('output_')}", array),
        # [classes, d_model] there.
        "classification": lambda: (f"{head}{path[0].removeprefix('output_')}", array.T),
    }[name]()


def _join_heads(projection: str, weight: str, array: np.ndarray) -> np.ndarray:
    """[d_model, heads, d_head], [heads, d_head] or [heads, d_head, d_model] with heads joined."""
    if projection == "out":
        return array if weight == "bias" else array.reshape(-1, array.shape[-1])
    return array.reshape(-1) if weight == "bias" else array.reshape(array.shape[0], -1)
