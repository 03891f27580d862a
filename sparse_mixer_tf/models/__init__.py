"""Whole models: the encoder of any architecture string, and what stands on it."""

from sparse_mixer_tf.models.backbone import SparseMixerBackbone
from sparse_mixer_tf.models.masked_lm import SparseMixerMaskedLM
from sparse_mixer_tf.models.masked_lm_preprocessor import SparseMixerMaskedLMPreprocessor
from sparse_mixer_tf.models.pretraining import PretrainingModel
from sparse_mixer_tf.models.text_classifier import SparseMixerTextClassifier
from sparse_mixer_tf.models.text_classifier_preprocessor import (
    SparseMixerTextClassifierPreprocessor,
)
from sparse_mixer_tf.models.tokenizer import SparseMixerTokenizer

__all__ = [
    "PretrainingModel",
    "SparseMixerBackbone",
    "SparseMixerMaskedLM",
    "SparseMixerMaskedLMPreprocessor",
    "SparseMixerTextClassifier",
    "SparseMixerTextClassifierPreprocessor",
    "SparseMixerTokenizer",
]
