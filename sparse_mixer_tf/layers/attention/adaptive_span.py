"""Learned attention spans, one for each head."""

import math

import keras
import numpy as np
from keras import ops

from sparse_mixer_tf.layers.attention.relative_shift import skew

BUCKET = 64


@keras.saving.register_keras_serializable(package="sparse_mixer_tf")
class AdaptiveSpan(keras.layers.Layer):
    """A soft mask over distances, whose reach is one weight for each head.

    The weight is the reach as a share of the whole span; it stays in [0, 1] by a constraint, which
    the optimizer applies after each update. Its loss, `loss_factor` times the mean reach in tokens,
    is a regularizer of the weight, so it counts once however often the layer is called.

    Args:
        num_heads: number of heads.
        attn_span: slots, which is the longest reach.
        ramp: slots over which the mask falls from 1 to 0.
        initial_span: reach at the start, as a share of the span.
        loss_factor: weight of the loss.

    References:
        [Adaptive attention span](https://arxiv.org/abs/1905.07799)
    """

    def __init__(
        self,
        num_heads: int,
        attn_span: int,
        ramp: int = 32,
        initial_span: float = 0.0,
        loss_factor: float = 0.0,
        **kwargs,
    ):
        super().__init__(**{**kwargs, "dtype": "float32"})
        if not 0 <= initial_span <= 1:
            raise ValueError(
                f"initial_span={initial_span} is not in [0, 1]; it is a share of attn_span"
            )
        if ramp < 1:
            raise ValueError(f"ramp={ramp} is too short; expected at least 1 token")
        self.num_heads = num_heads
        self.attn_span = attn_span
        self.ramp = ramp
        self.initial_span = initial_span
        self.loss_factor = loss_factor

    def build(self, input_shape=None):
        self.reach = self.add_weight(
            name="reach",
            shape=(self.num_heads,),
            initializer=keras.initializers.Constant(self.initial_span),
            regularizer=MeanReach(self.loss_factor * self.attn_span),
            constraint=UnitInterval(),
            # The mask is asked for inside of layers that compute in half precision.
            autocast=False,
        )

    def call(self, probabilities):
        """Masks and renormalises attention.

        Args:
            probabilities: float32 [batch, heads, ..., slots], the nearest slot last.

        Returns:
            The same shape; slots beyond a head's reach are zero.
        """
        mask = span_mask(self.reach, self.attn_span, self.ramp, probabilities.shape[-1])
        between = (1,) * (len(probabilities.shape) - 3)
        return renormalized(probabilities, ops.reshape(mask, (1, self.num_heads, *between, -1)))

    def skewed_mask(self, rows: int, span: int):
        """The mask of the nearest slots, laid out as by `skew`.

        Args:
            rows: queries.
            span: how many of the nearest slots.

        Returns:
            float32 [heads, rows, span + rows].
        """
        mask = span_mask(self.reach, self.attn_span, self.ramp, span)[:, None, :]
        return skew(ops.broadcast_to(mask, (self.num_heads, rows, span)))

    def needed_span(self) -> int:
        """Slots that the weights of now can see, see the function of this name."""
        return needed_span(ops.convert_to_numpy(self.reach), self.attn_span, self.ramp)

    def compute_output_shape(self, probabilities_shape):
        return probabilities_shape

    def get_config(self):
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "attn_span": self.attn_span,
            "ramp": self.ramp,
            "initial_span": self.initial_span,
            "loss_factor": self.loss_factor,
        }


@ops.custom_gradient
def renormalized(probabilities, mask):
    """Probabilities times a mask, divided by their sum over the last axis.

    Args:
        probabilities: float32 [batch, heads, ..., slots].
        mask: float32, with as many axes, of the same sizes or 1.

    Returns:
        float32 [batch, heads, ..., slots].
    """
    masked = probabilities * mask
    factor = 1 / (ops.sum(masked, axis=-1, keepdims=True) + 1e-8)
    y = masked * factor

    def gradient(*arguments, upstream=None):
        # By hand it takes half the passes over what is the largest array of all.
        dy = arguments[0] if upstream is None else upstream
        d_masked = (dy - ops.sum(dy * y, axis=-1, keepdims=True)) * factor
        repeated = [axis for axis, size in enumerate(mask.shape) if size == 1]
        d_mask = ops.sum(d_masked * probabilities, axis=repeated, keepdims=True)
        return d_masked * mask, d_mask

    return y, gradient


def span_mask(reach, attn_span: int, ramp: int, slots: int):
    """1 within the reach, 0 beyond reach and ramp, falling evenly between.

    Args:
        reach: float32 [heads], share of `attn_span`.
        attn_span: slots of the whole span.
        ramp: slots of the slope.
        slots: how many of the nearest slots are wanted.

    Returns:
        float32 [heads, slots], the nearest slot last.
    """
    steps_back = np.arange(slots - 1, -1, -1, dtype="float32")
    reach = ops.reshape(reach, (-1, 1)) * attn_span
    height = 1 + (reach - steps_back) / ramp
    # Not `clip`, whose gradient JAX halves at the very ends, where a head that has learned nothing
    # stands.
    rising = ops.logical_and(height >= 0, height <= 1)
    return ops.where(rising, height, ops.cast(height > 1, height.dtype))


def needed_span(reach: np.ndarray, attn_span: int, ramp: int) -> int:
    """The nearest slots that hold all that a mask lets through.

    What is cut away is a multiple of 64, so that few lengths ever occur.

    Args:
        reach: [heads], share of `attn_span`.
        attn_span: slots of the whole span.
        ramp: slots of the slope.

    Returns:
        An int from 1 to `attn_span`.
    """
    longest = math.ceil(float(np.max(reach)) * attn_span)
    visible = min(max(longest + ramp, 0), attn_span)
    cut = min(attn_span - 1, attn_span - visible) // BUCKET * BUCKET
    return attn_span - cut


@keras.saving.register_keras_serializable(package="sparse_mixer_tf")
class UnitInterval(keras.constraints.Constraint):
    """Keeps weights in [0, 1]."""

    def __call__(self, w):
        return ops.clip(w, 0.0, 1.0)


@keras.saving.register_keras_serializable(package="sparse_mixer_tf")
class MeanReach(keras.regularizers.Regularizer):
    """`factor` times the mean of a weight."""

    def __init__(self, factor: float):
        self.factor = factor

    def __call__(self, x):
        return self.factor * ops.mean(x)

    def get_config(self):
        return {"factor": self.factor}
