"""The same model as a preset directory of KerasHub."""

from pathlib import Path

import keras_hub
import numpy as np
from keras import ops

from sparse_mixer_tf.models import (
    SparseMixerMaskedLMPreprocessor,
    SparseMixerTextClassifier,
    SparseMixerTextClassifierPreprocessor,
    SparseMixerTokenizer,
)
from sparse_mixer_tf.serving.parity.check import TOLERANCES, Difference, difference

# What `longest` and `right` are called in KerasHub.
TRUNCATE = {"longest": "round_robin", "right": "waterfall"}


def save_preset(task, folder: Path) -> keras_hub.models.Task:
    """Writes the preset, routed as in training, so that it can be trained on.

    Args:
        task: restored and built.
        folder: to write.

    Returns:
        The model that was written.
    """
    model = _hub_model(task)
    model.save_to_preset(str(folder))
    return model


def preset_difference(
    model: keras_hub.models.Task, folder: Path, rows: dict, precision: str
) -> Difference:
    """Return the distance between outputs of a preset that is read back and of the model.

    Args:
        model: as it was written.
        folder: of the preset.
        rows: encoded texts, inputs of the signature `ids`.
        precision: of the computation.
    """
    loaded = type(model).from_preset(str(folder))
    rows = {name: ops.convert_to_tensor(rows[name]) for name in model.input if name in rows}
    if "memory" in model.input:
        rows["memory"] = model.backbone.no_memory(len(rows["token_ids"]))
    ours, theirs = (m(rows, training=False) for m in (model, loaded))
    if isinstance(ours, dict):
        ours, theirs = ours["logits"], theirs["logits"]
    ours, theirs = ({"logits": np.asarray(x, "float32")} for x in (ours, theirs))
    return difference("preset read back, written", ours, theirs, TOLERANCES[precision], 0)


def _hub_model(task) -> keras_hub.models.Task:
    kind, model = task.settings.task, task.model
    if kind == "causal_lm":
        return model
    tokenizer = SparseMixerTokenizer(task.vocabulary.model_bytes)
    length = task.data_settings.max_seq_length
    if kind == "pretrain":
        return model.to_masked_lm(
            SparseMixerMaskedLMPreprocessor(
                tokenizer,
                sequence_length=length,
                mask_selection_rate=task.data_settings.masking_rate,
                mask_selection_length=task.data_settings.num_predictions,
            )
        )
    preprocessor = SparseMixerTextClassifierPreprocessor(
        tokenizer, sequence_length=length, truncate=TRUNCATE[task.data_settings.truncation]
    )
    classifier = SparseMixerTextClassifier(
        model.backbone, model.num_classes, preprocessor, dropout_rate=model.dropout_rate
    )
    classifier.set_weights(model.get_weights())
    return classifier
