"""From a checkpoint of the published Sparse Mixers to settings and weights.

The sizes are in the shapes. How tokens were routed is not in a checkpoint, nor whether a layer
without weights is Fourier or Hartley mixing: that is for the user to say.
"""

from pathlib import Path

from sparse_mixer_tf.architecture import parse
from sparse_mixer_tf.conversion.flax import checkpoint as flax_checkpoint
from sparse_mixer_tf.conversion.flax.parameter_map import FEED_FORWARD, MIXING, layer_parts, to_ours
from sparse_mixer_tf.conversion.portable_model import (
    CLASSIFIER,
    MASKED_LM_HEAD,
    ORDER_HEAD,
    PlainModel,
)
from sparse_mixer_tf.settings import ModelSettings, SettingsError

WITHOUT_WEIGHTS = ("r", "h")
# Settings that leave no trace in a checkpoint.
UNTOLD = (
    "dropout_rate", "attention_dropout_rate", "expert_dropout_rate", "mixing_implementation",
    "router", "num_selected_experts", "capacity_factor", "eval_capacity_factor",
    "min_expert_capacity", "batch_prioritized_routing", "max_group_size", "jitter_noise",
    "balance_loss_factor", "router_z_loss_factor", "dispatch",
)  # fmt: skip
# What the published code does and ours leaves out by default.
AS_PUBLISHED = {"route_padding": True, "mask_padded_queries": True}


def read(path: Path, untold: dict, mixing: str | None = None) -> PlainModel:
    """Reads a checkpoint.

    Args:
        path: of the replicated file.
        untold: settings of `UNTOLD` that differ from the defaults, which are those of the paper.
        mixing: `r` or `h`, of layers without weights.

    Raises:
        SettingsError: the checkpoint is damaged, or not of a published model.
    """
    checkpoint = flax_checkpoint.read(path)
    parameters = checkpoint.parameters
    letters = _letters(path, parameters, mixing)
    settings = _settings(path, parameters, letters, untold)
    pretrained = any(name.startswith("predictions_") for name in parameters)
    weights, names = {}, {}
    for name, array in parameters.items():
        try:
            head = ORDER_HEAD if pretrained else CLASSIFIER
            ours, converted = to_ours(name, array, letters, head)
        except (KeyError, IndexError, ValueError):
            raise SettingsError(
                f"{path}: {name}, of shape {array.shape}, is no parameter of a published model"
            ) from None
        if ours in weights:
            raise SettingsError(f"{path}: {name} is there twice, under another name")
        weights[ours], names[ours] = converted, name
    return PlainModel(
        origin=str(path),
        settings=settings,
        vocabulary_size=_size(path, parameters, "encoder/embedder/word/embedding", 0),
        max_seq_length=_size(path, parameters, "encoder/embedder/position/embedding", -2),
        weights=weights,
        step=checkpoint.step,
        pair_objective="order" if pretrained else "none",
        names=names,
        notes=_notes(settings, weights),
    )


def _letters(path: Path, parameters: dict, mixing: str | None) -> str:
    parts = layer_parts(parameters)
    if set(parts) != set(range(len(parts))) or not parts:
        raise SettingsError(f"{path} has layers {sorted(parts)}; expected 0, 1, 2 and so on")
    letters, unclear = "", []
    for layer in range(len(parts)):
        mixers = [letter for name, letter in MIXING.items() if name in parts[layer]]
        feeders = {letter for name, letter in FEED_FORWARD.items() if name in parts[layer]}
        if len(mixers) > 1 or len(feeders) != 1:
            named = ", ".join(sorted(parts[layer]))
            raise SettingsError(f"{path}: layer {layer} is made of {named}; that is no layer")
        if not mixers:
            unclear.append(layer)
        letters += (mixers[0] if mixers else mixing or "?") + feeders.pop()
    if unclear and mixing not in WITHOUT_WEIGHTS:
        raise SettingsError(
            f"{path}: layers {', '.join(map(str, unclear))} mix tokens without weights; say how "
            "with --mixing=r, Fourier, or --mixing=h, Hartley"
        )
    if mixing and not unclear:
        raise SettingsError(f"--mixing={mixing}: all layers of {path} say themselves how they mix")
    return letters


def _settings(path: Path, parameters: dict, letters: str, untold: dict) -> ModelSettings:
    def first(letter: str, name: str, axis: int):
        """A size of the first sublayer of a kind; None without one."""
        index = letters.find(letter)
        return None if index < 0 else _size(path, parameters, name.format(index // 2), axis)

    d_ff = first("f", "encoder/feed_forward_{}/intermediate/kernel", 1)
    expert_d_ff = first("g", "encoder/expert_{}/intermediate/kernel", 2)
    sizes = {
        "d_emb": _size(path, parameters, "encoder/embedder/word/embedding", 1),
        "d_model": _size(path, parameters, "encoder/pooler/kernel", 0),
        "num_segments": _size(path, parameters, "encoder/embedder/type/embedding", 0),
        "num_heads": first("s", "encoder/attention_{}/self/query/kernel", 1),
        "d_ff": d_ff or expert_d_ff,
        "expert_d_ff": expert_d_ff,
        "num_experts": first("g", "encoder/router_weights_{}/DenseGeneral_0/kernel", 1) or 0,
    }
    return ModelSettings(
        architecture=str(parse(letters)),
        **{name: size for name, size in sizes.items() if size is not None},
        **AS_PUBLISHED,
        **untold,
    )


def _size(path: Path, parameters: dict, name: str, axis: int) -> int:
    array = parameters.get(name)
    if array is None:
        raise SettingsError(f"{path} lacks {name}")
    if not -array.ndim <= axis < array.ndim or array.shape[axis] == 0:
        raise SettingsError(f"{path}: {name} has shape {array.shape}")
    return array.shape[axis]


def _notes(settings: ModelSettings, weights: dict) -> tuple[str, ...]:
    notes = []
    if "g" in settings.architecture:
        notes.append(
            f"a checkpoint does not tell how tokens were routed: --router={settings.router} "
            f"--capacity_factor={settings.capacity_factor:g} and so on are taken from the flags"
        )
    if not any(path.startswith((MASKED_LM_HEAD, CLASSIFIER)) for path in weights):
        notes.append("no head is there; heads start afresh")
    return tuple(notes)
