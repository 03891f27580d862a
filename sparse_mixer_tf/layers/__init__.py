"""The sublayers of efficient sparse text models, in `keras.ops` alone."""

from sparse_mixer_tf.layers.attention.adaptive_span import AdaptiveSpan, needed_span
from sparse_mixer_tf.layers.attention.relative_attention import PositionTable, RelativeSelfAttention
from sparse_mixer_tf.layers.attention.relative_shift import remember
from sparse_mixer_tf.layers.attention.self_attention import SelfAttention
from sparse_mixer_tf.layers.dropout import Dropout
from sparse_mixer_tf.layers.embedding import TokenEmbedding
from sparse_mixer_tf.layers.feed_forward import FeedForward
from sparse_mixer_tf.layers.intermediates import (
    observe_assignments,
    observe_attention,
    observe_routing,
)
from sparse_mixer_tf.layers.masked_lm_head import MaskedLMHead
from sparse_mixer_tf.layers.mixing.circulant import CirculantMixing
from sparse_mixer_tf.layers.mixing.fourier import FourierMixing, HartleyMixing
from sparse_mixer_tf.layers.mixing.linear import LinearMixing
from sparse_mixer_tf.layers.mixing.toeplitz import ToeplitzMixing
from sparse_mixer_tf.layers.moe.config import RoutingSettings
from sparse_mixer_tf.layers.moe.experts import Experts
from sparse_mixer_tf.layers.moe.layer import MixtureOfExperts
from sparse_mixer_tf.layers.moe.router import Router, growing_num_selected_experts
from sparse_mixer_tf.layers.pooler import Pooler
from sparse_mixer_tf.layers.residual import CausalSublayer, Sublayer
from sparse_mixer_tf.layers.rng import random_key

__all__ = [
    "AdaptiveSpan",
    "CausalSublayer",
    "CirculantMixing",
    "Dropout",
    "Experts",
    "FeedForward",
    "FourierMixing",
    "HartleyMixing",
    "LinearMixing",
    "MaskedLMHead",
    "MixtureOfExperts",
    "Pooler",
    "PositionTable",
    "RelativeSelfAttention",
    "Router",
    "RoutingSettings",
    "SelfAttention",
    "Sublayer",
    "ToeplitzMixing",
    "TokenEmbedding",
    "growing_num_selected_experts",
    "needed_span",
    "observe_assignments",
    "observe_attention",
    "observe_routing",
    "random_key",
    "remember",
]
