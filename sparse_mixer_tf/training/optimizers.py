"""The optimizers that the originals train with, and the learning rate over the steps."""

import math

import keras
from keras import ops

DECAYS = ("linear", "cosine", "rsqrt", "rsqrt_normalized", "constant")
NORM_AND_BIAS = ("bias", "gamma", "beta")


@keras.saving.register_keras_serializable(package="sparse_mixer_tf")
class AdamW(keras.optimizers.AdamW):
    """Adam with decoupled weight decay; epsilon stands beside the bias-corrected root, as in optax.

    Keras adds epsilon before the correction, which in the first steps makes it up to
    `1 / sqrt(1 - beta_2)` = 32 times as large.

    References:
        [Decoupled weight decay regularization](https://arxiv.org/abs/1711.05101)
    """

    def update_step(self, gradient, variable, learning_rate):
        dtype = variable.dtype
        gradient, rate = ops.cast(gradient, dtype), ops.cast(learning_rate, dtype)
        step = ops.cast(self.iterations + 1, dtype)
        index = self._get_variable_index(variable)
        first, second = self._momentums[index], self._velocities[index]
        self.assign_add(first, (gradient - first) * (1 - self.beta_1))
        self.assign_add(second, (ops.square(gradient) - second) * (1 - self.beta_2))
        corrected = second / (1 - ops.power(ops.cast(self.beta_2, dtype), step))
        rate = rate / (1 - ops.power(ops.cast(self.beta_1, dtype), step))
        self.assign_sub(variable, rate * first / (ops.sqrt(corrected) + self.epsilon))


def adamw(learning_rate, weight_decay: float = 0.01, decay_all_weights: bool = False) -> AdamW:
    """AdamW with the original's constants: beta 0.9 and 0.999, epsilon 1e-6.

    Args:
        learning_rate: a number or a schedule.
        decay_all_weights: decay biases and LayerNorms too, as the original does.
    """
    optimizer = AdamW(learning_rate, weight_decay, beta_1=0.9, beta_2=0.999, epsilon=1e-6)
    if not decay_all_weights:
        optimizer.exclude_from_weight_decay(var_names=NORM_AND_BIAS)
    return optimizer


@keras.saving.register_keras_serializable(package="sparse_mixer_tf")
class Adagrad(keras.optimizers.Optimizer):
    """Adagrad that lowers the rate of a weight whose gradient is large.

    Where the norm of a weight's gradient is above `max_tensor_norm`, its rate is scaled down by the
    excess; the accumulator takes the gradient as it is. It begins at 0, epsilon stands outside the
    root: Keras's own begins at 0.1.

    Args:
        learning_rate: a number or a schedule.
        max_tensor_norm: see above; None never scales.

    References:
        [Adaptive attention span](https://arxiv.org/abs/1905.07799), whose training this is.
    """

    EPSILON = 1e-10

    def __init__(self, learning_rate=0.03, max_tensor_norm: float | None = None, **kwargs):
        kwargs.setdefault("name", "adagrad")
        super().__init__(learning_rate, **kwargs)
        self.max_tensor_norm = max_tensor_norm
        self._norms = None

    def build(self, variables):
        if not self.built:
            super().build(variables)
            self.accumulators = [
                self.add_variable_from_reference(v, "accumulator") for v in variables
            ]

    def apply(self, grads, trainable_variables=None, norms=None):
        """As every optimizer's.

        Args:
            norms: float32 [number of weights], of all gradients in the order of `build`, where they
                are known already: to compute them takes XLA almost half of an update.
        """
        self._norms = norms
        super().apply(grads, trainable_variables)
        self._norms = None

    def update_step(self, gradient, variable, learning_rate):
        gradient = ops.cast(gradient, variable.dtype)
        rate = ops.cast(learning_rate, variable.dtype)
        index = self._get_variable_index(variable)
        if self.max_tensor_norm is not None:
            norm = _norm(gradient) if self._norms is None else self._norms[index]
            norm = ops.cast(norm, variable.dtype)
            rate = rate * ops.minimum(1.0, self.max_tensor_norm / (norm + self.EPSILON))
        accumulator = self.accumulators[index]
        self.assign_add(accumulator, ops.square(gradient))
        self.assign_sub(variable, rate * gradient / (ops.sqrt(accumulator) + self.EPSILON))

    def get_config(self) -> dict:
        return {**super().get_config(), "max_tensor_norm": self.max_tensor_norm}


def _norm(gradient):
    # Row by row, as XLA adds up a whole array one number at a time.
    rows = ops.reshape(gradient, (-1, math.prod(gradient.shape[-1:])))
    return ops.norm(ops.norm(rows, axis=1))


def make_optimizer(
    name: str,
    learning_rate,
    weight_decay: float = 0.01,
    decay_all_weights: bool = False,
    momentum: float = 0.0,
    max_tensor_norm: float | None = None,
) -> keras.optimizers.Optimizer:
    """The optimizer of a name, with the constants of the originals.

    Args:
        name: `adamw`, `adam` (without weight decay), `adagrad` or `sgd`.
        learning_rate: a number or a schedule.
        weight_decay: of `adamw`.
        decay_all_weights: `adamw` decays biases and LayerNorms too.
        momentum: of `sgd`.
        max_tensor_norm: of `adagrad`.
    """
    if name == "adagrad":
        return Adagrad(learning_rate, max_tensor_norm)
    if name == "sgd":
        return keras.optimizers.SGD(learning_rate, momentum=momentum)
    return adamw(learning_rate, weight_decay if name == "adamw" else 0.0, decay_all_weights)


def scheduled_optimizer(settings) -> keras.optimizers.Optimizer:
    """The optimizer of a run.

    Args:
        settings: `TrainingSettings`, with its steps counted out.
    """
    rate = WarmupDecay(
        settings.learning_rate,
        settings.warmup_steps,
        settings.train_steps,
        settings.learning_rate_decay,
    )
    return make_optimizer(
        settings.optimizer,
        rate,
        settings.weight_decay,
        settings.decay_all_weights,
        settings.momentum,
        settings.max_tensor_norm,
    )


def warmup_factor(step, warmup_steps: int):
    """Linear from 0 at step 0 to 1 at `warmup_steps`."""
    return ops.minimum(1.0, ops.cast(step, "float32") / max(warmup_steps, 1))


def decay_factor(step, decay: str, warmup_steps: int, total_steps: int):
    """Return the factor of the peak rate after the warm-up.

    Args:
        step: float or int scalar.
        decay: `linear` and `cosine` reach 0 at `total_steps` and stay there (the original's linear
            decay jumps back to its peak), `rsqrt` is 1 / sqrt(step), `rsqrt_normalized` the same
            times sqrt(warmup_steps), `constant` is 1.
    """
    step, start = ops.cast(step, "float32"), float(warmup_steps)
    progress = ops.clip((step - start) / max(total_steps - warmup_steps, 1), 0.0, 1.0)
    if decay == "linear":
        return 1.0 - progress
    if decay == "cosine":
        return 0.5 * (1.0 + ops.cos(math.pi * progress))
    if decay in ("rsqrt", "rsqrt_normalized"):
        start = max(start, 1.0)
        return (1.0 if decay == "rsqrt" else start**0.5) / ops.sqrt(ops.maximum(step, start))
    if decay == "constant":
        return ops.ones_like(step)
    raise ValueError(f"decay {decay!r} is unknown; expected one of {', '.join(DECAYS)}")


@keras.saving.register_keras_serializable(package="sparse_mixer_tf")
class WarmupDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up, then a decay.

    The update at step 0 uses `peak / warmup_steps`: the original's first update has rate 0 and does
    nothing. The last update is the smallest, and the rate after it is 0.
    """

    def __init__(self, peak: float, warmup_steps: int, total_steps: int, decay: str = "linear"):
        self.peak, self.decay = peak, decay
        self.warmup_steps, self.total_steps = warmup_steps, total_steps

    def __call__(self, step):
        step = ops.cast(step, "float32")
        warmup = warmup_factor(step + 1.0, self.warmup_steps)
        return (
            self.peak * warmup * decay_factor(step, self.decay, self.warmup_steps, self.total_steps)
        )

    def get_config(self) -> dict:
        return {
            "peak": self.peak,
            "warmup_steps": self.warmup_steps,
            "total_steps": self.total_steps,
            "decay": self.decay,
        }
