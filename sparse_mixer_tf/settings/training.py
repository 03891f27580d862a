"""Settings of the training."""

import dataclasses
from dataclasses import dataclass

from sparse_mixer_tf.settings.fields import Checked, SettingsError, setting


@dataclass(frozen=True)
class TrainingSettings(Checked):
    """Settings of objective and optimizer; a change to any of them changes the result."""

    task: str = setting("pretrain", "What to train for.", ("pretrain", "classify", "causal_lm"))
    train_batch_size: int = setting(64, "Sequences in one optimizer step, all replicas.", least=1)
    eval_batch_size: int = setting(64, "Sequences in one evaluation step.", least=1)
    gradient_accumulation_steps: int = setting(
        1, "Parts that a replica's batch is computed in; saves memory, same result.", least=1
    )
    train_steps: int = setting(1_000_000, "Optimizer steps.", least=1)
    warmup_steps: int = setting(10_000, "Steps of linear warm-up.", least=0)
    train_epochs: float | None = setting(
        None, "Passes over the training data, instead of --train_steps.", least=1e-6
    )
    warmup_proportion: float | None = setting(
        None, "Share of the steps that warm up, instead of --warmup_steps.", least=0, most=1
    )
    early_stopping_patience: int | None = setting(
        None, "Stop after so many evaluations without a new best; never if not given.", least=1
    )
    learning_rate: float = setting(1e-4, "Peak learning rate.", least=0)
    learning_rate_decay: str = setting(
        "linear",
        "What follows the warm-up; linear and cosine end at zero.",
        ("linear", "cosine", "rsqrt", "rsqrt_normalized", "constant"),
    )
    optimizer: str = setting("adamw", "Optimizer.", ("adamw", "adam", "adagrad", "sgd"))
    momentum: float = setting(0.0, "Momentum of sgd.", least=0, most=0.9999)
    max_tensor_norm: float | None = setting(
        None,
        "Adagrad: the rate of a weight whose gradient norm is above this is scaled down by the "
        "excess, as the original Brainformer's --grad-clip does.",
        least=1e-12,
    )
    weight_decay: float = setting(0.01, "Decoupled weight decay, times the learning rate.", least=0)
    decay_all_weights: bool = setting(
        False, "Decay biases and LayerNorms too, as the original does."
    )
    max_gradient_norm: float | None = setting(
        None, "Clip gradients to this global norm.", least=1e-12
    )
    precision: str = setting(
        "float32",
        "Computation dtype; auto times a sublayer in both and keeps the faster.",
        ("auto", "float32", "mixed_bfloat16"),
    )
    jit_compile: str = setting(
        "auto",
        "Compile the step with XLA, all of it or what lies between matrix products (elementwise); "
        "auto times these on the first batch and keeps the fastest.",
        ("auto", "true", "elementwise", "false"),
    )
    seed: int = setting(0, "Decides initial weights, data order, masks and dropout.", least=0)

    def extends(self, earlier: "TrainingSettings") -> bool:
        """Return whether training with these settings continues training with `earlier` ones."""
        if (self.train_epochs is None) != (earlier.train_epochs is None):
            return False
        longer = self.train_steps >= earlier.train_steps and (
            self.train_epochs is None or self.train_epochs >= earlier.train_epochs
        )
        # Only these rates know nothing of the last step.
        steady = self.learning_rate_decay in ("rsqrt", "rsqrt_normalized", "constant")
        ends = {"train_steps": self.train_steps, "train_epochs": self.train_epochs}
        return (
            longer
            and steady
            and self.warmup_proportion is None
            and dataclasses.replace(earlier, **ends) == self
        )

    def scheduled(self, num_train_examples: int) -> "TrainingSettings":
        """These settings with epochs and shares counted out in steps."""
        steps = self.train_steps
        if self.train_epochs is not None:
            steps = max(1, int(num_train_examples * self.train_epochs) // self.train_batch_size)
        warmup = min(self.warmup_steps, steps)
        if self.warmup_proportion is not None:
            warmup = int(self.warmup_proportion * steps)
        return dataclasses.replace(
            self, train_steps=steps, warmup_steps=warmup, train_epochs=None, warmup_proportion=None
        )


def check_batch(name: str, size: int, replicas: int, accumulation: int = 1) -> None:
    """Checks that a global batch divides over replicas and gradient accumulation.

    Raises:
        SettingsError: naming the two nearest batch sizes that do.
    """
    parts = replicas * accumulation
    if size % parts:
        below = size // parts * parts
        fixes = f"{below} or {below + parts}" if below else str(parts)
        what = f"{replicas} replicas" + (f" x {accumulation} parts" if accumulation > 1 else "")
        raise SettingsError(f"--{name}={size} is not divisible by {what}; use {fixes}")
