"""Initial values that the layers share: those of the Sparse Mixer, and those of PyTorch."""

import keras
from keras import ops

KERNEL_STDDEV = 0.02
LAYER_NORM_EPSILON = 1e-12
TORCH_LAYER_NORM_EPSILON = 1e-5
STYLES = ("normal", "torch")


def kernel_initializer() -> keras.initializers.Initializer:
    """A new plain (not truncated) normal initializer of standard deviation 0.02.

    A new one for each weight, because a Keras initializer returns the same values for each call.
    """
    return keras.initializers.RandomNormal(stddev=KERNEL_STDDEV)


def layer_norm(
    name: str, dtype, epsilon: float = LAYER_NORM_EPSILON
) -> keras.layers.LayerNormalization:
    """LayerNorm over the last axis; Keras takes its statistics in float32 whatever the dtype."""
    return keras.layers.LayerNormalization(epsilon=epsilon, name=name, dtype=dtype)


def dense(
    units: int,
    name: str,
    dtype,
    style: str = "normal",
    fan_in: int | None = None,
    use_bias: bool = True,
) -> keras.layers.Dense:
    """A dense projection whose initial values follow a style.

    Args:
        units: width of the output.
        name: name of the layer.
        dtype: dtype or policy.
        style: `normal`: kernel of standard deviation 0.02, bias zero;
            `torch`: both uniform, see `fan_in_uniform`.
        fan_in: width of the input; only `torch` needs it.
        use_bias: whether there is a bias.
    """
    check_style(style)
    kernel, bias = kernel_initializer(), "zeros"
    if style == "torch":
        kernel, bias = fan_in_uniform(fan_in), fan_in_uniform(fan_in)
    return keras.layers.Dense(
        units,
        use_bias=use_bias,
        kernel_initializer=kernel,
        bias_initializer=bias,
        name=name,
        dtype=dtype,
    )


def check_style(style: str) -> None:
    """Refuses a style of initial values that does not exist."""
    if style not in STYLES:
        raise ValueError(f"initializer={style!r} is unknown; use {' or '.join(map(repr, STYLES))}")


def fan_in_uniform(fan_in: int) -> keras.initializers.Initializer:
    """U(-1/sqrt(fan_in), 1/sqrt(fan_in)): what PyTorch gives kernel and bias of a linear map."""
    limit = fan_in**-0.5
    return keras.initializers.RandomUniform(-limit, limit)


@keras.saving.register_keras_serializable(package="sparse_mixer_tf")
class ExpertUniform(keras.initializers.Initializer):
    """U(-1/sqrt(d_in * d_out), 1/sqrt(d_in * d_out)) for kernels [num_experts, d_in, d_out].

    What PyTorch's default makes of a kernel with three axes: it takes both widths for the fan-in,
    so experts start much smaller than dense layers. Every call gives new values.
    """

    def __call__(self, shape, dtype=None):
        limit = (shape[-2] * shape[-1]) ** -0.5
        return ops.cast(keras.initializers.RandomUniform(-limit, limit)(shape), dtype or "float32")
