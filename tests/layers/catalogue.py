"""Every layer with small sizes and something to call it with, for tests that hold for all."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from sparse_mixer_tf import layers

BATCH, SEQ, D_MODEL, EXPERTS, SPAN = 3, 8, 6, 4, 5
MASK = np.arange(SEQ) < np.array([[SEQ], [5], [2]])
IDS = (np.arange(BATCH * SEQ, dtype="int32").reshape(BATCH, SEQ) * 7) % 30


class Specimen(NamedTuple):
    """A layer and a call of it.

    Attributes:
        make: the layer.
        inputs: arrays, of which those of floats are differentiated for.
        options: further arrays of the call, by name.
        output: shape of what it returns.
        keeps_float32: what it returns is float32 in half precision too.
        any_batch: batches may be of any size, and of a size unknown.
        without_influence: how many inputs and weights change nothing.
    """

    make: Callable
    inputs: tuple
    options: dict[str, Any]
    output: tuple[int, ...]
    keeps_float32: bool = False
    any_batch: bool = True
    without_influence: int = 0


def floats(*shape: int):
    """The same numbers for the same shape."""
    return np.random.default_rng(shape).normal(size=shape).astype("float32")


X = floats(BATCH, SEQ, D_MODEL)


def moe(**routing):
    settings = {"num_experts": EXPERTS, "min_expert_capacity": 1, "max_group_size": 10, **routing}
    return layers.MixtureOfExperts(10, settings, dropout_rate=0.2)


def embedding():
    return layers.TokenEmbedding(30, D_MODEL, SEQ, d_emb=4, dropout_rate=0.2)


def relative(attend_to_self=True):
    span = layers.AdaptiveSpan(2, SPAN, ramp=2, initial_span=0.5, loss_factor=0.1)
    return layers.RelativeSelfAttention(
        2, SPAN, dropout_rate=0.2, attend_to_self=attend_to_self, adaptive_span=span
    )


# With `call(x, padding_mask=None, training=None)`.
SUBLAYERS = {
    "linear": layers.LinearMixing,
    "fourier": lambda: layers.FourierMixing("fft"),
    "fourier_matmul": lambda: layers.FourierMixing("matmul", mask_padding=True),
    "hartley": lambda: layers.HartleyMixing("fft"),
    "hartley_matmul": lambda: layers.HartleyMixing("matmul"),
    "circulant": lambda: layers.CirculantMixing("fft"),
    "circulant_matmul": lambda: layers.CirculantMixing("matmul"),
    "toeplitz": lambda: layers.ToeplitzMixing("fft", mask_padding=True),
    "toeplitz_matmul": lambda: layers.ToeplitzMixing("matmul"),
    "attention": lambda: layers.SelfAttention(2, dropout_rate=0.2),
    "attention_published": lambda: layers.SelfAttention(3, mask_padded_queries=True),
    "feed_forward": lambda: layers.FeedForward(10, dropout_rate=0.2),
    "experts_choose": moe,
    "experts_choose_einsum": lambda: moe(dispatch="einsum", route_padding=True),
    "tokens_choose": lambda: moe(router="tokens_choose", num_selected_experts=2),
    "tokens_choose_jitter": lambda: moe(router="tokens_choose", jitter_noise=0.1),
    "dropless": lambda: moe(router="dropless", num_selected_experts=2),
    "post_norm": lambda: layers.Sublayer(layers.FeedForward(10, name="inner")),
    "pre_norm": lambda: layers.Sublayer(moe(), norm="pre"),
}
MEMORY, TABLE = floats(BATCH, SPAN, D_MODEL), floats(SPAN, D_MODEL // 2)
PROBABILITIES = np.full((BATCH, 2, SEQ, SPAN), 1 / SPAN, "float32")

LAYERS = {
    **{
        name: Specimen(make, (X,), {"padding_mask": MASK}, X.shape)
        for name, make in SUBLAYERS.items()
    },
    "embedding": Specimen(embedding, (IDS,), {"segment_ids": IDS % 4}, X.shape),
    "head": Specimen(
        lambda: layers.MaskedLMHead(embedding()),
        (X, IDS[:, :2] % SEQ),
        {},
        (BATCH, 2, 30),
        keeps_float32=True,
        # The word table is all that it shares with the embedding.
        without_influence=6,
    ),
    "pooler": Specimen(layers.Pooler, (X,), {}, (BATCH, D_MODEL)),
    "dropout": Specimen(lambda: layers.Dropout(0.2), (X,), {}, X.shape),
    "router": Specimen(
        lambda: layers.Router(EXPERTS, jitter_noise=0.1, learned_noise=True),
        (X,),
        {},
        (BATCH, SEQ, EXPERTS),
        keeps_float32=True,
    ),
    "experts": Specimen(
        lambda: layers.Experts(BATCH, 10, dropout_rate=0.2, inner_dropout_rate=0.2),
        (X,),
        {},
        X.shape,
        any_batch=False,
    ),
    "relative_attention": Specimen(relative, (X, MEMORY, TABLE), {}, X.shape, any_batch=False),
    "causal": Specimen(
        lambda: layers.CausalSublayer(relative(attend_to_self=False), norm="pre"),
        (X, MEMORY, TABLE),
        {},
        X.shape,
        any_batch=False,
    ),
    "adaptive_span": Specimen(
        lambda: layers.AdaptiveSpan(2, SPAN, ramp=2, initial_span=0.5, loss_factor=0.1),
        (PROBABILITIES,),
        {},
        PROBABILITIES.shape,
        keeps_float32=True,
    ),
    "position_table": Specimen(
        lambda: layers.PositionTable(SPAN, D_MODEL // 2),
        (X,),
        {},
        TABLE.shape,
        any_batch=False,
        without_influence=1,
    ),
}


def build(specimen: Specimen):
    """The layer with its weights, which depend on their order and shape alone."""
    layer = specimen.make()
    layer.build(*(array.shape for array in specimen.inputs))
    rng = np.random.default_rng(2)
    for variable in layer.trainable_variables:
        if not variable.path.endswith("reach"):
            variable.assign(rng.normal(size=variable.shape).astype("float32") * 0.5)
    return layer
