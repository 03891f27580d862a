"""Answers of the trained model to texts: the other side of every comparison.

Texts are encoded in Python here, by the code that training used, and the Keras model is called
directly; nothing of a served graph takes part.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from pipelines.labelled import dataset
from pipelines.labelled.examples import UNLABELLED, Example
from pipelines.tokenizers.sentencepiece_model import Pieces, Vocabulary, plain_text
from sparse_mixer_tf.tasks.mask_filling import encode
from sparse_mixer_tf.tasks.model_factory import model_inputs


class Probe(NamedTuple):
    """Texts, and what is to be expected of them.

    Attributes:
        texts: inputs of the signatures that take texts.
        rows: inputs of the signature `ids` for the same texts.
        expected: from the outputs of `ids` or `serving_default` to the arrays that some of them
            should be equal to, by name.
    """

    texts: dict[str, list]
    rows: dict[str, np.ndarray]
    expected: Callable[[dict], dict[str, np.ndarray]]


def make_probe(task, model: keras.Model, texts: Sequence[tuple], inputs: Sequence[str]) -> Probe:
    """The probe of a task.

    Args:
        task: restored; says how texts are encoded.
        model: the Keras model that is compared with.
        texts: segments of each example; str, or bytes where symbols are bytes.
        inputs: names of the inputs that the segments go to.
    """
    columns = {name: [segments[i] for segments in texts] for i, name in enumerate(inputs)}
    make = {"pretrain": _masked, "classify": _labelled, "causal_lm": _continued}
    return Probe(columns, *make[task.settings.task](task, model, texts))


def _masked(task, model, texts):
    data = task.data_settings
    words = plain_text(task.vocabulary)
    batch = encode([text for (text,) in texts], words, data.max_seq_length, data.num_predictions)
    rows = {name: value for name, value in batch.items() if name != "mask_ids"}

    def expected(outputs):
        said = model(model_inputs(model, rows), training=False)["mlm_logits"]
        shares = np.asarray(ops.softmax(ops.cast(said, "float32")))
        return {"probabilities": np.take_along_axis(shares, outputs["word_ids"], axis=-1)}

    return rows, expected


def _labelled(task, model, texts):
    data = task.data_settings
    examples = [Example(tuple(t), UNLABELLED, n, (n,)) for n, t in enumerate(texts)]
    tokenised = dataset.tokenise(
        examples, plain_text(task.vocabulary), data.max_seq_length, data.truncation
    )
    rows = tokenised.rows(np.arange(len(examples)))
    rows = {name: rows[name] for name in ("token_ids", "segment_ids", "padding_mask")}

    def expected(_):
        said = ops.cast(model(rows, training=False), "float32")
        if task.labels:
            return {"probabilities": np.asarray(ops.softmax(said))}
        return {"value": np.asarray(said)[:, 0]}

    return rows, expected


def _continued(task, model, texts):
    vocabulary = task.vocabulary
    if isinstance(vocabulary, Pieces):
        vocabulary = Pieces(plain_text(Vocabulary(vocabulary.model_bytes)))
    ids = [vocabulary.encode(text) for (text,) in texts]
    rows = pad(ids)

    def expected(_):
        return {"probabilities": np.stack([next_shares(model, one)[-1] for one in ids])}

    return rows, expected


def pad(ids: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Texts of different lengths as the rows that a language model's `ids` takes."""
    lengths = np.array([len(one) for one in ids])
    token_ids = np.zeros((len(ids), lengths.max()), np.int32)
    for row, one in zip(token_ids, ids, strict=True):
        row[: len(one)] = one
    return {"token_ids": token_ids, "padding_mask": np.arange(lengths.max()) < lengths[:, None]}


def next_shares(model: keras.Model, ids: np.ndarray) -> np.ndarray:
    """Probabilities behind each symbol of one text, read whole: float32 [length, size]."""
    inputs = {
        "token_ids": ops.convert_to_tensor(np.asarray(ids, "int32")[None]),
        "memory": model.backbone.no_memory(1),
    }
    return np.asarray(ops.softmax(model(inputs, training=False)["logits"]))[0]
