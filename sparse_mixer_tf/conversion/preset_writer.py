"""Writes a KerasHub preset that is the workdir of a finished run too."""

from pathlib import Path

import keras
import keras_hub

from pipelines.settings import DataSettings
from sparse_mixer_tf.conversion.keras_models import build
from sparse_mixer_tf.conversion.portable_model import PlainModel
from sparse_mixer_tf.models import (
    PretrainingModel,
    SparseMixerBackbone,
    SparseMixerMaskedLMPreprocessor,
    SparseMixerTextClassifier,
    SparseMixerTextClassifierPreprocessor,
    SparseMixerTokenizer,
)
from sparse_mixer_tf.settings import ModelSettings, TrainingSettings
from sparse_mixer_tf.training import workdir as workdirs
from sparse_mixer_tf.training.checkpoint import Checkpoints, named


def write(model: PlainModel, folder: Path) -> None:
    """Writes a KerasHub preset and, where the vocabulary is known, the workdir of a run with it.

    Raises:
        SettingsError: the weights do not make a model.
    """
    built = build(model)
    _write_preset(model, built, folder)
    if model.vocabulary is not None:
        _write_workdir(model, built, folder)


def _write_preset(model: PlainModel, built: keras.Model, folder: Path) -> None:
    # The seed is set while building: a tokenizer made before that would be lost.
    tokenizer = model.vocabulary and SparseMixerTokenizer(model.vocabulary.model_bytes)
    preprocessor = None
    if isinstance(built, PretrainingModel):
        if tokenizer:
            preprocessor = SparseMixerMaskedLMPreprocessor(
                tokenizer,
                sequence_length=model.max_seq_length,
                mask_selection_length=_data_settings(model).num_predictions,
            )
        built.to_masked_lm(preprocessor).save_to_preset(folder)
        return
    if isinstance(built, SparseMixerTextClassifier) and tokenizer:
        built.preprocessor = SparseMixerTextClassifierPreprocessor(
            tokenizer, sequence_length=model.max_seq_length
        )
    built.save_to_preset(folder)
    if tokenizer and isinstance(built, keras_hub.models.Backbone):
        tokenizer.save_to_preset(folder)


def _write_workdir(model: PlainModel, built: keras.Model, folder: Path) -> None:
    """A finished run of pre-training, for `--init_checkpoint`, `predict` and `evaluate`."""
    backbone = built if isinstance(built, SparseMixerBackbone) else built.backbone
    # A classifier starts afresh wherever a run starts from another one.
    whole = isinstance(built, PretrainingModel)
    weights = named({"model": (built if whole else backbone).weights})
    data, step = _data_settings(model), model.step
    training = TrainingSettings(task="pretrain", train_steps=max(step, 1), warmup_steps=0)
    fingerprints = {
        "vocabulary_fingerprint": model.vocabulary.fingerprint,
        "data_fingerprint": None,
    }
    facts = fingerprints | {
        "model": model.settings.to_json(),
        "training": training.to_json(),
        "data": {k: v for k, v in vars(data).items() if k not in workdirs.PLACES},
        "places": {name: getattr(data, name) for name in workdirs.PLACES},
        "init_checkpoint": None,
        "fork_from": None,
        "jit_compile": False,
        "converted_from": model.origin,
        "heads": whole,
    }
    (folder / workdirs.VOCABULARY).parent.mkdir()
    workdirs.write_atomically(folder / workdirs.VOCABULARY, model.vocabulary.model_bytes)
    Checkpoints(folder / "checkpoints", weights).save(
        step, fingerprints | {"seed": training.seed, "of_steps": step, "complete": True}
    )
    workdirs.write_settings(folder, facts, _flag_lines(model.settings, data))


def _data_settings(model: PlainModel) -> DataSettings:
    return DataSettings(
        max_seq_length=model.max_seq_length,
        vocab_size=max(model.vocabulary_size, 16),
        pair_objective=model.pair_objective,
    )


def _flag_lines(settings: ModelSettings, data: DataSettings) -> list[str]:
    """The flags that train such a model from its beginning."""
    defaults = ModelSettings()
    values = {
        name: value
        for name, value in settings.to_json().items()
        if value is not None and value != getattr(defaults, name)
    }
    values |= {"max_seq_length": data.max_seq_length, "pair_objective": data.pair_objective}
    return [f"--{name}={value}" for name, value in values.items()]
