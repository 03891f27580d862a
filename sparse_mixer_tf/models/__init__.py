"""Whole models: the encoder of any architecture string, and what stands on it."""

from sparse_mixer_tf.models.brainformer.backbone import BrainformerBackbone
from sparse_mixer_tf.models.brainformer.causal_lm import BrainformerCausalLM
from sparse_mixer_tf.models.sparse_mixer.backbone import SparseMixerBackbone
from sparse_mixer_tf.models.sparse_mixer.masked_lm import SparseMixerMaskedLM
from sparse_mixer_tf.models.sparse_mixer.masked_lm_preprocessor import (
    SparseMixerMaskedLMPreprocessor,
)
from sparse_mixer_tf.models.sparse_mixer.pretraining import PretrainingModel
from sparse_mixer_tf.models.sparse_mixer.text_classifier import SparseMixerTextClassifier
from sparse_mixer_tf.models.sparse_mixer.text_classifier_preprocessor import (
    SparseMixerTextClassifierPreprocessor,
)
from sparse_mixer_tf.models.sparse_mixer.tokenizer import SparseMixerTokenizer

__all__ = [
    "BrainformerBackbone",
    "BrainformerCausalLM",
    "PretrainingModel",
    "SparseMixerBackbone",
    "SparseMixerMaskedLM",
    "SparseMixerMaskedLMPreprocessor",
    "SparseMixerTextClassifier",
    "SparseMixerTextClassifierPreprocessor",
    "SparseMixerTokenizer",
]
