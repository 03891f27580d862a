"""Every sublayer with small sizes, for tests that hold for all of them."""

from sparse_mixer_tf import layers

BATCH, SEQ, D_MODEL = 3, 8, 6


def moe(**routing):
    settings = {"num_experts": 4, "min_expert_capacity": 1, "max_group_size": 10, **routing}
    return layers.MixtureOfExperts(10, settings, dropout_rate=0.2)


# Builders of layers with `call(x, padding_mask=None, training=None)`.
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
