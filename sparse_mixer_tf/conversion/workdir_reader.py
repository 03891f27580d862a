"""Models of this project, as a run left them or in a KerasHub preset, to plain ones."""

import dataclasses
import json
from pathlib import Path

import numpy as np

from pipelines.tokenizers import sentencepiece_model
from pipelines.tokenizers.sentencepiece_model import Vocabulary
from sparse_mixer_tf.conversion.portable_model import PlainModel
from sparse_mixer_tf.models import (
    SparseMixerBackbone,
    SparseMixerMaskedLM,
    SparseMixerTextClassifier,
)
from sparse_mixer_tf.settings import ModelSettings, SettingsError
from sparse_mixer_tf.training import workdir as workdirs
from sparse_mixer_tf.training.checkpoint import CheckpointError, Checkpoints

PRESET_CONFIG, TASK_CONFIG = "config.json", "task.json"
PRESET_VOCABULARY = "assets/tokenizer/vocabulary.spm"
PRESET_CLASSES = {
    f"sparse_mixer_tf>{cls.__name__}": cls
    for cls in (SparseMixerBackbone, SparseMixerMaskedLM, SparseMixerTextClassifier)
}


def is_workdir(place: Path) -> bool:
    return (place / workdirs.SETTINGS).is_file()


def is_preset(place: Path) -> bool:
    return _class_of(place / PRESET_CONFIG) is SparseMixerBackbone


def read_workdir(place: Path) -> PlainModel:
    """The best checkpoint of a run, the newest if none was scored.

    Raises:
        SettingsError: the run has no whole checkpoint, or is one of a language model.
    """
    facts = workdirs.read_settings(place)
    task = facts["training"].get("task")
    if task == "causal_lm":
        raise SettingsError(f"--input={place} is a language model; only encoders are converted")
    checkpoints = Checkpoints(place / "checkpoints", {})
    step = checkpoints.best_step()
    if step is None:
        raise SettingsError(f"--input={place} has no checkpoint yet; train it first")
    try:
        arrays = checkpoints.arrays(step)
    except CheckpointError as error:
        raise SettingsError(f"--input={place}: {error}") from None
    weights = {
        name.removeprefix("model/"): array
        for name, array in arrays.items()
        if name.startswith("model/")
    }
    return PlainModel(
        origin=str(place),
        settings=ModelSettings.from_json(facts["model"]),
        vocabulary_size=len(weights["embedding/token_embedding"]),
        max_seq_length=len(weights["embedding/position_embedding"]),
        weights=weights,
        vocabulary=sentencepiece_model.load(place / workdirs.VOCABULARY),
        step=step,
        pair_objective=facts["data"].get("pair_objective", "none")
        if task == "pretrain"
        else "none",
        labels=tuple(facts.get("labels", ())),
    )


def read_preset(place: Path) -> PlainModel:
    """A KerasHub preset of an encoder of ours, with its task if there is one.

    Raises:
        SettingsError: the preset is damaged or of another model.
    """
    task = _class_of(place / TASK_CONFIG) if (place / TASK_CONFIG).exists() else None
    try:
        model = (task or SparseMixerBackbone).from_preset(str(place))
    except (ValueError, TypeError, KeyError, OSError) as error:
        problem = " ".join(str(error).split())[:200]
        raise SettingsError(f"--input={place} is no whole preset ({problem})") from None
    backbone = model if task is None else model.backbone
    words = None
    if (place / PRESET_VOCABULARY).exists():
        words = Vocabulary((place / PRESET_VOCABULARY).read_bytes(), str(place))
    return PlainModel(
        origin=str(place),
        settings=_settings_of(backbone),
        vocabulary_size=backbone.vocabulary_size,
        max_seq_length=backbone.max_sequence_length,
        weights={variable.path: np.asarray(variable.numpy()) for variable in model.weights},
        vocabulary=words,
    )


def _settings_of(backbone: SparseMixerBackbone) -> ModelSettings:
    config = backbone.get_config()
    values = config | (config["routing"] or {"num_experts": 0})
    names = {item.name for item in dataclasses.fields(ModelSettings)}
    return ModelSettings(**{name: value for name, value in values.items() if name in names})


def _class_of(config: Path) -> type | None:
    """The class of ours that a configuration of KerasHub names."""
    try:
        content = json.loads(config.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return PRESET_CLASSES.get(content.get("registered_name")) if isinstance(content, dict) else None
