"""LayerNorm, with the gradient written by hand."""

import keras
from keras import ops

EPSILON = 1e-12
TORCH_EPSILON = 1e-5


@keras.saving.register_keras_serializable(package="sparse_mixer_tf")
class LayerNorm(keras.layers.Layer):
    """LayerNorm over the last axis, computed in float32 whatever the dtype.

    Args:
        epsilon: added to the variance.

    References:
        [Layer normalization](https://arxiv.org/abs/1607.06450)
    """

    def __init__(self, epsilon: float = EPSILON, **kwargs):
        super().__init__(**kwargs)
        self.epsilon = epsilon
        self.supports_masking = True

    def build(self, input_shape):
        self.gamma, self.beta = (
            self.add_weight(
                name=name, shape=input_shape[-1:], initializer=initializer, autocast=False
            )
            for name, initializer in (("gamma", "ones"), ("beta", "zeros"))
        )

    def call(self, x):
        x, gamma, beta = (ops.cast(array, "float32") for array in (x, self.gamma, self.beta))
        y = normalized(x, gamma, beta, self.epsilon)
        return ops.cast(y, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "epsilon": self.epsilon}


def normalized(x, gamma, beta, epsilon: float):
    """Rows of mean 0 and variance 1, times gamma, plus beta.

    The gradient takes half the passes over x that the single steps would; its sums are products
    with a vector, which read what they sum once and on all cores.

    Args:
        x: float32 [..., columns].
        gamma: float32 [columns].
        beta: float32 [columns].
        epsilon: added to the variance.

    Returns:
        float32 [..., columns].
    """

    @ops.custom_gradient
    def run(x, gamma, beta):
        centred = x - ops.mean(x, axis=-1, keepdims=True)
        variance = ops.mean(ops.square(centred), axis=-1, keepdims=True)
        scale = ops.rsqrt(variance + epsilon)
        unit = centred * scale

        def gradient(*arguments, upstream=None):
            dy = arguments[0] if upstream is None else upstream
            columns = ops.shape(dy)[-1]
            rows, scaled = (ops.reshape(y, (-1, columns)) for y in (dy, dy * unit))
            one = ops.ones((1, ops.shape(rows)[0]), dy.dtype)
            d_gamma, d_beta = (ops.matmul(one, y)[0] for y in (scaled, rows))
            share = ops.expand_dims(gamma, -1) / columns
            along, level = (
                ops.reshape(ops.matmul(y, share), (*ops.shape(dy)[:-1], 1)) for y in (scaled, rows)
            )
            return (dy * gamma - (unit * along + level)) * scale, d_gamma, d_beta

        return unit * gamma + beta, gradient

    return run(x, gamma, beta)
