"""The model as it is served: every row routed by itself, so no answer depends on its neighbours."""

import dataclasses

import keras

from sparse_mixer_tf.settings import ModelSettings


def row_group_size(row_length: int, max_group_size: int) -> int:
    """The largest routing group that never reaches over the end of a row.

    Args:
        row_length: tokens of a row.
        max_group_size: most tokens that were routed together in training.

    Returns:
        `row_length`, or its largest divisor that is not above `max_group_size`.
    """
    return next(
        row_length // parts
        for parts in range(1, row_length + 1)
        if row_length % parts == 0 and row_length // parts <= max_group_size
    )


def serving_settings(model: ModelSettings, task: str, row_length: int) -> ModelSettings:
    """The same model, routed so that a row of a batch means nothing to another.

    An encoder's groups become rows, or equal parts of rows. A language model reads blocks of any
    length, at last of one token, so there tokens that choose get every expert they choose: what a
    capacity would refuse depends on how a text is cut.

    Args:
        model: the settings of the run.
        task: of the run.
        row_length: tokens of an encoder's row.
    """
    if model.router == "dropless" or "g" not in model.architecture:
        return model
    if task == "causal_lm":
        return dataclasses.replace(model, router="dropless")
    size = row_group_size(row_length, model.max_group_size)
    return dataclasses.replace(model, max_group_size=size)


def model_with_rows_apart(task, step: int) -> keras.Model:
    """A model with the weights of the task's own, routed as `serving_settings` says.

    Args:
        task: restored and built.
        step: of its weights.
    """
    settings = serving_settings(
        task.model_settings, task.settings.task, task.data_settings.max_seq_length
    )
    twin = type(task)(settings, task.settings, task.data_settings)
    twin.restore(task.vocabulary, task.facts)
    twin.build()
    twin.model.set_weights(task.model.get_weights())
    twin.static_choices(step)
    return twin.model
