"""From a run that was opened to the model that is served."""

from pathlib import Path

import keras

from pipelines.datasets.classification import segment_names
from sparse_mixer_tf.serving.saved_model import ServedModel
from sparse_mixer_tf.serving.signatures.causal_lm import text_writer
from sparse_mixer_tf.serving.signatures.classifier import classifier
from sparse_mixer_tf.serving.signatures.masked_lm import masked_words


def serve(task, model: keras.Model, workdir: Path, top: int) -> ServedModel:
    """The signatures that belong to a task.

    Args:
        task: restored and built.
        model: of `model_with_rows_apart`.
        workdir: of the run, whose vocabulary is kept with the model.
        top: words or symbols that are named where there are many.
    """
    vocabulary, data = workdir / task.vocabulary_file, task.data_settings
    if task.settings.task == "pretrain":
        return masked_words(model, task.vocabulary, data, vocabulary, top)
    if task.settings.task == "classify":
        segments = segment_names(data)
        return classifier(model, task.vocabulary, data, vocabulary, task.labels, segments)
    return text_writer(model, task.vocabulary, vocabulary, top)
