"""`config.json` of Hugging Face's BERT and FNet, and the settings that they come to.

References:
    [BERT](https://huggingface.co/docs/transformers/model_doc/bert),
    [FNet](https://huggingface.co/docs/transformers/model_doc/fnet)
"""

from typing import NamedTuple

from sparse_mixer_tf.architecture import SUBLAYERS, parse
from sparse_mixer_tf.conversion.portable_model import (
    CLASSIFIER,
    MASKED_LM_HEAD,
    ORDER_HEAD,
    PlainModel,
)
from sparse_mixer_tf.settings import ModelSettings, SettingsError


class Kind(NamedTuple):
    """Differences between BERT and FNet.

    Attributes:
        letters: of a layer.
        projection: whether there is a dense layer behind the embeddings.
        defaults: of the configuration, where it may be silent.
        class_prefix: of the names of its classes.
    """

    letters: str
    projection: bool
    defaults: dict
    class_prefix: str


DEFAULTS = {
    "layer_norm_eps": 1e-12,
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
}
KINDS = {
    "bert": Kind("sf", False, DEFAULTS | {"hidden_act": "gelu", "type_vocab_size": 2}, "Bert"),
    "fnet": Kind("rf", True, DEFAULTS | {"hidden_act": "gelu_new", "type_vocab_size": 4}, "FNet"),
}
# Theirs by ours; the tanh approximation has three names there.
ACTIVATIONS = {
    "gelu": "gelu_exact",
    "gelu_new": "gelu",
    "gelu_fast": "gelu",
    "gelu_pytorch_tanh": "gelu",
}
# What makes of a BERT another model, and the only value that leaves it one.
PLAIN = {
    "is_decoder": False,
    "add_cross_attention": False,
    "position_embedding_type": "absolute",
    "quantization_config": None,
}


class HuggingFaceConfig(NamedTuple):
    """The settings of a `config.json`.

    Attributes:
        kind: `bert` or `fnet`.
        settings: of the encoder.
        vocabulary_size, max_seq_length: rows of its tables.
        labels: names of the classes; empty where they have none but their numbers.
        classifies: whether `classifier` tensors classify whole sequences.
    """

    kind: str
    settings: ModelSettings
    vocabulary_size: int
    max_seq_length: int
    labels: tuple[str, ...]
    classifies: bool


def from_json(config: dict, name: str) -> HuggingFaceConfig:
    """Reads a configuration.

    Args:
        config: the content of the file.
        name: of the file, for errors.

    Raises:
        SettingsError: the model is of another type, or a size is missing or makes no sense.
    """
    model_type = config.get("model_type")
    if model_type not in tuple(KINDS):
        raise SettingsError(f"{name}: model_type {model_type!r} is neither 'bert' nor 'fnet'")
    kind = KINDS[model_type]
    config = kind.defaults | config
    for key, value in PLAIN.items():
        if config.get(key, value) != value:
            raise SettingsError(f"{name}: {key}={config[key]!r} is no plain {kind.class_prefix}")
    activation = config["hidden_act"]
    if activation not in tuple(ACTIVATIONS):
        raise SettingsError(
            f"{name}: hidden_act={activation!r} is unknown; {', '.join(ACTIVATIONS)} are known"
        )

    def size(key: str) -> int:
        value = config.get(key)
        if type(value) is not int or value < 1:
            raise SettingsError(f"{name}: {key}={value!r}; expected a whole number above 0")
        return value

    def number(key: str) -> float:
        value = config[key]
        if type(value) not in (int, float) or not 0 <= value < 1:
            raise SettingsError(f"{name}: {key}={value!r}; expected a number from 0 to 1")
        return float(value)

    d_model, heads = size("hidden_size"), {}
    if model_type == "bert":
        heads = {"num_heads": size("num_attention_heads")}
    settings = ModelSettings(
        architecture=str(parse(f"{size('num_hidden_layers')}*({kind.letters})")),
        d_emb=d_model,
        d_model=d_model,
        d_ff=size("intermediate_size"),
        expert_d_ff=size("intermediate_size"),
        dropout_rate=number("hidden_dropout_prob"),
        attention_dropout_rate=number("attention_probs_dropout_prob"),
        activation=ACTIVATIONS[activation],
        num_segments=size("type_vocab_size"),
        embedding_projection=kind.projection,
        layer_norm_epsilon=number("layer_norm_eps"),
        num_experts=0,
        **heads,
    )
    classes = config.get("architectures")
    return HuggingFaceConfig(
        model_type,
        settings,
        size("vocab_size"),
        size("max_position_embeddings"),
        _labels(config.get("id2label")),
        classes == [f"{kind.class_prefix}ForSequenceClassification"],
    )


def _labels(id2label) -> tuple[str, ...]:
    """Names of the classes; those that Hugging Face makes up, `LABEL_0`, are none."""
    if not isinstance(id2label, dict):
        return ()
    names = [id2label.get(str(index), f"LABEL_{index}") for index in range(len(id2label))]
    return () if names == [f"LABEL_{i}" for i in range(len(names))] else tuple(map(str, names))


def kind_of(model: PlainModel) -> str:
    """Return the kind of a model: BERT or FNet.

    Raises:
        SettingsError: Hugging Face has no such model; what of it, and where.
    """
    settings, layout = model.settings, parse(model.settings.architecture)
    letters = layout.letters
    said = f"--format=huggingface: {model.origin}"
    kind = next((k for k, v in KINDS.items() if letters[:2] == v.letters), None)
    for position, letter in enumerate(letters):
        if kind is None or letter != KINDS[kind].letters[position % 2]:
            raise SettingsError(
                f"{said} is {settings.architecture}, whose sublayer {position}, "
                f"{SUBLAYERS[letter]} ({letter}), Hugging Face's models do not have there; it has "
                "N*(sf), BERT, and N*(rf), FNet"
            )
    reasons = {
        f"ends in the middle of a layer ({settings.architecture})": len(letters) % 2,
        "shares weights between sublayers (--share_block_weights)": settings.share_block_weights
        and any(len(set(block)) < len(block) for block in layout.blocks),
        f"has --norm={settings.norm}": settings.norm != "post",
        f"has --activation={settings.activation}": settings.activation not in ACTIVATIONS.values(),
        f"has --d_emb={settings.d_emb} beside --d_model={settings.d_model}": settings.d_emb
        not in (None, settings.d_model),
        "has --mask_padding_in_mixing": kind == "fnet" and settings.mask_padding_in_mixing,
    }
    for reason, holds in reasons.items():
        if holds:
            raise SettingsError(f"{said} {reason}, which Hugging Face's models do not know")
    return kind


def to_json(model: PlainModel, kind: str) -> dict:
    """The configuration of a model that `kind_of` lets pass."""
    settings = model.settings
    theirs = {ours: theirs for theirs, ours in reversed(ACTIVATIONS.items())}
    head = "Model"
    if model.has(MASKED_LM_HEAD):
        head = "ForPreTraining" if model.has(ORDER_HEAD) else "ForMaskedLM"
    config = {
        "model_type": kind,
        "hidden_size": settings.d_model,
        "num_hidden_layers": len(parse(settings.architecture).letters) // 2,
        "intermediate_size": settings.d_ff,
        "hidden_act": theirs[settings.activation],
        "hidden_dropout_prob": settings.dropout_rate,
        "layer_norm_eps": settings.layer_norm_epsilon,
        "max_position_embeddings": model.max_seq_length,
        "type_vocab_size": settings.num_segments,
        "vocab_size": model.vocabulary_size,
    }
    if kind == "bert":
        config["num_attention_heads"] = settings.num_heads
        config["attention_probs_dropout_prob"] = settings.attention_dropout_rate
    if model.vocabulary is not None:
        config["pad_token_id"] = model.vocabulary.pad_id
    if model.has(CLASSIFIER):
        head, count = "ForSequenceClassification", model.weights[f"{CLASSIFIER}bias"].size
        names = model.labels or tuple(f"LABEL_{index}" for index in range(count))
        config["id2label"] = {str(index): name for index, name in enumerate(names)}
        config["label2id"] = {name: index for index, name in enumerate(names)}
    return config | {"architectures": [KINDS[kind].class_prefix + head]}
