"""Folders of Hugging Face, `config.json` and `model.safetensors`, to plain models and back."""

import json
from pathlib import Path

import ml_dtypes  # noqa: F401  lets NumPy know bfloat16, which safetensors asks it for
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from sparse_mixer_tf.conversion.huggingface import config as huggingface_config
from sparse_mixer_tf.conversion.huggingface import tensor_map
from sparse_mixer_tf.conversion.huggingface.config import KINDS, HuggingFaceConfig
from sparse_mixer_tf.conversion.huggingface.tensor_map import HEAD_BIAS, WORDS, Tensor
from sparse_mixer_tf.conversion.portable_model import (
    CLASSIFIER,
    MASKED_LM_HEAD,
    ORDER_HEAD,
    POOLER,
    PlainModel,
)
from sparse_mixer_tf.settings import SettingsError

CONFIG, WEIGHTS = "config.json", "model.safetensors"
SENTENCEPIECE, WORDPIECE = "spiece.model", "vocab.txt"
DTYPES = ("F32", "F16", "BF16", "F64")
# Numbers of rows, which older files hold as tensors.
COUNTED = {"embeddings.position_ids", "embeddings.token_type_ids"}
# The output matrix of the masked-word head is the word table, its bias is there twice.
TIED = {"cls.predictions.decoder.weight": WORDS, "cls.predictions.decoder.bias": HEAD_BIAS}


def is_model(place: Path) -> bool:
    """Return whether a folder holds a model of Hugging Face, of any type."""
    return "model_type" in (_json(place / CONFIG) or {})


def read(place: Path) -> PlainModel:
    """Reads a BERT or an FNet.

    Raises:
        SettingsError: it is another model, a file is missing or damaged, a tensor is missing, too
            much, or of another shape than the configuration says.
    """
    config = huggingface_config.from_json(_json(place / CONFIG), str(place / CONFIG))
    arrays = _arrays(place, config.kind)
    weights, notes = {}, []
    for tensor in _expected(config, arrays):
        array = arrays.pop(tensor.theirs, None)
        if array is None:
            raise SettingsError(f"{place / WEIGHTS} lacks {tensor.theirs}")
        if array.shape != tensor.shape:
            raise SettingsError(
                f"{place / WEIGHTS}: {tensor.theirs} has shape {array.shape}; {CONFIG} makes it "
                f"{tensor.shape}"
            )
        weights[tensor.ours] = tensor.to_ours(array)
    if arrays:
        raise SettingsError(
            f"{place / WEIGHTS} has {min(arrays)} too much, which a {config.kind} of its {CONFIG} "
            "has not"
        )
    if not any(path.startswith(POOLER) for path in weights):
        notes.append("no pooler is there; it has initial values")
    if not any(path.startswith((MASKED_LM_HEAD, CLASSIFIER)) for path in weights):
        notes.append("no head is there; heads start afresh")
    ordered = f"{ORDER_HEAD}kernel" in weights
    if ordered and f"{MASKED_LM_HEAD}bias" not in weights:
        weights = {path: a for path, a in weights.items() if not path.startswith(ORDER_HEAD)}
        ordered = False
    return PlainModel(
        origin=str(place),
        settings=config.settings,
        vocabulary_size=config.vocabulary_size,
        max_seq_length=config.max_seq_length,
        weights=weights,
        pair_objective="next" if ordered else "none",
        labels=config.labels,
        notes=tuple(notes),
    )


def write(model: PlainModel, folder: Path) -> None:
    """Writes a BERT or an FNet, for `from_pretrained`.

    Raises:
        SettingsError: Hugging Face has no such model.
    """
    kind = huggingface_config.kind_of(model)
    arrays, weights = {}, _with_their_projection(model, kind)
    d, size = model.settings.d_model, model.vocabulary_size
    tensors = [
        (f"{kind}.", tensor_map.encoder(model.settings, size, model.max_seq_length)),
        (f"{kind}.", tensor_map.pooler(d) if model.has(POOLER) else ()),
    ]
    if KINDS[kind].projection:
        tensors.append((f"{kind}.", tensor_map.projection(d)))
    if model.has(MASKED_LM_HEAD):
        tensors.append(("", tensor_map.masked_lm_head(d, size)))
    if model.has(ORDER_HEAD):
        tensors.append(("", tensor_map.order_head(d)))
    if model.has(CLASSIFIER):
        classes = model.weights[f"{CLASSIFIER}bias"].size
        tensors.append(("", tensor_map.classifier(d, classes)))
    headless = len({prefix for prefix, _ in tensors}) == 1
    for prefix, group in tensors:
        for tensor in group:
            name = tensor.theirs if headless else prefix + tensor.theirs
            arrays[name] = tensor.to_theirs(weights[tensor.ours])
    save_file(arrays, folder / WEIGHTS, metadata={"format": "pt"})
    content = json.dumps(huggingface_config.to_json(model, kind), indent=2)
    (folder / CONFIG).write_text(content + "\n", "utf-8")
    if model.vocabulary is not None:
        (folder / SENTENCEPIECE).write_bytes(model.vocabulary.model_bytes)


def _expected(config: HuggingFaceConfig, arrays: dict) -> list[Tensor]:
    """The tensors of a model; of its pooler and heads, those that are there in part."""
    settings, size = config.settings, config.vocabulary_size
    d = settings.d_model
    tensors = [*tensor_map.encoder(settings, size, config.max_seq_length)]
    if settings.embedding_projection:
        tensors += tensor_map.projection(d)
    optional = [
        tensor_map.pooler(d),
        tensor_map.masked_lm_head(d, size),
        tensor_map.order_head(d),
    ]
    if config.classifies and "classifier.bias" in arrays:
        optional.append(tensor_map.classifier(d, arrays["classifier.bias"].size))
    for group in optional:
        if any(tensor.theirs in arrays for tensor in group):
            tensors += group
    return tensors


def _arrays(place: Path, kind: str) -> dict[str, np.ndarray]:
    """Tensors as float32, by names without the prefix of the encoder."""
    path = place / WEIGHTS
    if not path.is_file():
        others = [
            p.name for p in sorted(place.glob("*.safetensors*")) + sorted(place.glob("*.bin"))
        ]
        hint = f"; {others[0]} is not read" if others else ""
        raise SettingsError(
            f"{path} does not exist{hint}; save the model with save_pretrained, in one file"
        )
    arrays = {}
    try:
        with safe_open(path, framework="numpy") as file:
            for theirs in file.keys():  # noqa: SIM118  it is no dict
                name = _without_prefix(theirs, kind)
                if name in COUNTED:
                    continue
                dtype = file.get_slice(theirs).get_dtype()
                if dtype not in DTYPES:
                    raise SettingsError(f"{path}: {theirs} has dtype {dtype}; expected floats")
                if name in arrays:
                    raise SettingsError(f"{path}: {theirs} is there twice, under another name")
                arrays[name] = file.get_tensor(theirs).astype(np.float32)
    except (SafetensorError, OSError) as error:
        raise SettingsError(f"{path} is damaged ({error}); copy it again") from None
    for copy, original in TIED.items():
        if copy in arrays:
            array = arrays.pop(copy)
            if not np.array_equal(array, arrays.setdefault(original, array)):
                raise SettingsError(
                    f"{path}: {copy} is not {original}; here the word table serves both ends"
                )
    return arrays


def _without_prefix(name: str, kind: str) -> str:
    name = name.removeprefix(f"{kind}.")
    # The names of LayerNorm's weights in files that come from TensorFlow.
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace(
        "LayerNorm.beta", "LayerNorm.bias"
    )


def _with_their_projection(model: PlainModel, kind: str) -> dict[str, np.ndarray]:
    """The weights with a projection behind the embeddings for FNet, without one for BERT."""
    d = model.settings.d_model
    names = [tensor.ours for tensor in tensor_map.projection(d)]
    identity = dict(zip(names, (np.eye(d, dtype="float32"), np.zeros(d, "float32")), strict=True))
    if KINDS[kind].projection:
        return identity | model.weights
    if not all(np.array_equal(model.weights.get(n, identity[n]), identity[n]) for n in names):
        raise SettingsError(
            f"--format=huggingface: {model.origin} has a dense layer behind its embeddings "
            "(hidden_mapping_in), which Hugging Face's BERT has not; train with "
            "--embedding_projection=false"
        )
    return model.weights


def _json(path: Path) -> dict | None:
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None
