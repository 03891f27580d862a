"""Our models with the weights of a plain model, and plain models of ours."""

import keras

from sparse_mixer_tf.conversion.portable_model import (
    CLASSIFIER,
    MASKED_LM_HEAD,
    ORDER_HEAD,
    POOLER,
    PlainModel,
)
from sparse_mixer_tf.models import (
    PretrainingModel,
    SparseMixerBackbone,
    SparseMixerTextClassifier,
)
from sparse_mixer_tf.settings import SettingsError
from sparse_mixer_tf.tasks.model_factory import build_backbone

SEED = 0


def build(model: PlainModel) -> keras.Model:
    """The model of ours that its weights make: for pre-training, a classifier, or an encoder.

    A pooler that is missing has initial values.

    Raises:
        SettingsError: a weight is missing, too much, or of another shape.
    """
    keras.utils.set_random_seed(SEED)
    backbone = build_backbone(
        model.settings, model.vocabulary_size, model.max_seq_length, "float32"
    )
    built = _with_head(model, backbone)
    variables = {variable.path: variable for variable in built.weights}
    _check(model, {path: tuple(variable.shape) for path, variable in variables.items()})
    for path, array in model.weights.items():
        variables[path].assign(array)
    return built


def _with_head(model: PlainModel, backbone: SparseMixerBackbone) -> keras.Model:
    if model.has(CLASSIFIER):
        bias = model.weights.get(f"{CLASSIFIER}bias")
        return SparseMixerTextClassifier(backbone, num_classes=1 if bias is None else bias.size)
    if model.has(MASKED_LM_HEAD):
        return PretrainingModel(backbone, order_head=model.has(ORDER_HEAD))
    return backbone


def _check(model: PlainModel, expected: dict[str, tuple[int, ...]]) -> None:
    found = {path: array.shape for path, array in model.weights.items()}
    missing, extra = expected.keys() - found.keys(), found.keys() - expected.keys()
    if not model.has(POOLER):
        missing = {path for path in missing if not path.startswith(POOLER)}
    if missing:
        raise SettingsError(f"{model.origin} lacks what becomes {min(missing)}")
    if extra:
        raise SettingsError(
            f"{model.origin} has {_name(model, min(extra))} too much, which "
            f"{model.settings.architecture} has not"
        )
    for path in sorted(found):
        if found[path] != expected[path]:
            raise SettingsError(
                f"{model.origin}: {_name(model, path)} becomes {path} of shape {found[path]}; the "
                f"other sizes make it {expected[path]}"
            )


def _name(model: PlainModel, path: str) -> str:
    return model.names.get(path, path)
