"""Names and layouts of Hugging Face's tensors of BERT and FNet, and of ours.

Their dense layers are [out, in], ours [in, out]. Their `seq_relationship` calls the true second
part class 0, ours is class 1.
"""

from typing import NamedTuple

import numpy as np

from sparse_mixer_tf.architecture import parse
from sparse_mixer_tf.conversion.portable_model import CLASSIFIER, MASKED_LM_HEAD, ORDER_HEAD
from sparse_mixer_tf.settings import ModelSettings

WORDS = "embeddings.word_embeddings.weight"
HEAD_BIAS = "cls.predictions.bias"


class Tensor(NamedTuple):
    """One weight in both worlds.

    Attributes:
        theirs: its name there, without the prefix of the encoder.
        ours: its path here.
        shape: in their layout.
        transposed: whether ours is turned around.
        reversed: whether their classes, on the first axis, are the other way around.
    """

    theirs: str
    ours: str
    shape: tuple[int, ...]
    transposed: bool = False
    reversed: bool = False

    def to_ours(self, array: np.ndarray) -> np.ndarray:
        array = array[::-1] if self.reversed else array
        return array.T if self.transposed else array

    def to_theirs(self, array: np.ndarray) -> np.ndarray:
        array = array.T if self.transposed else array
        return np.ascontiguousarray(array[::-1] if self.reversed else array)


def _dense(theirs: str, ours: str, d_in: int, d_out: int, **layout) -> tuple[Tensor, Tensor]:
    return (
        Tensor(f"{theirs}.weight", f"{ours}/kernel", (d_out, d_in), transposed=True, **layout),
        Tensor(f"{theirs}.bias", f"{ours}/bias", (d_out,), **layout),
    )


def _norm(theirs: str, ours: str, size: int) -> tuple[Tensor, Tensor]:
    return (
        Tensor(f"{theirs}.weight", f"{ours}/gamma", (size,)),
        Tensor(f"{theirs}.bias", f"{ours}/beta", (size,)),
    )


def projection(d: int) -> tuple[Tensor, Tensor]:
    """The dense layer behind the embeddings, of FNet."""
    return _dense("embeddings.projection", "embedding/hidden_mapping_in", d, d)


def encoder(
    settings: ModelSettings, vocabulary_size: int, max_seq_length: int
) -> tuple[Tensor, ...]:
    """The tensors of an encoder of `sf` or `rf` layers, without its projection and its pooler."""
    d, tensors = settings.d_model, []
    for theirs, ours, rows in (
        ("word_embeddings", "token_embedding", vocabulary_size),
        ("position_embeddings", "position_embedding", max_seq_length),
        ("token_type_embeddings", "segment_embedding", settings.num_segments),
    ):
        tensors.append(Tensor(f"embeddings.{theirs}.weight", f"embedding/{ours}", (rows, d)))
    tensors += _norm("embeddings.LayerNorm", "embedding/layer_norm", d)
    for index, letter in enumerate(parse(settings.architecture).letters):
        layer, ours = f"encoder.layer.{index // 2}", f"sublayer_{index:02d}_{letter}"
        if letter == "s":
            for name in ("query", "key", "value"):
                tensors += _dense(
                    f"{layer}.attention.self.{name}", f"{ours}/attention/{name}", d, d
                )
            tensors += _dense(f"{layer}.attention.output.dense", f"{ours}/attention/out", d, d)
        if letter == "f":
            d_ff, inner = settings.d_ff, f"{ours}/feed_forward"
            tensors += _dense(f"{layer}.intermediate.dense", f"{inner}/intermediate", d, d_ff)
            tensors += _dense(f"{layer}.output.dense", f"{inner}/output", d_ff, d)
        norm = {"s": "attention.output", "r": "fourier.output", "f": "output"}[letter]
        tensors += _norm(f"{layer}.{norm}.LayerNorm", f"{ours}/layer_norm", d)
    return tuple(tensors)


def pooler(d: int) -> tuple[Tensor, Tensor]:
    return _dense("pooler.dense", "pooler/projection", d, d)


def masked_lm_head(d: int, vocabulary_size: int) -> tuple[Tensor, ...]:
    theirs = "cls.predictions.transform"
    return (
        *_dense(f"{theirs}.dense", f"{MASKED_LM_HEAD}projection", d, d),
        *_norm(f"{theirs}.LayerNorm", f"{MASKED_LM_HEAD}layer_norm", d),
        Tensor(HEAD_BIAS, f"{MASKED_LM_HEAD}bias", (vocabulary_size,)),
    )


def order_head(d: int) -> tuple[Tensor, Tensor]:
    return _dense("cls.seq_relationship", ORDER_HEAD.removesuffix("/"), d, 2, reversed=True)


def classifier(d: int, classes: int) -> tuple[Tensor, Tensor]:
    return _dense("classifier", CLASSIFIER.removesuffix("/"), d, classes)
