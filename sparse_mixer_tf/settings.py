"""Everything that a run is made of, as frozen dataclasses that go to JSON and back.

Each field is one command-line flag: its default, its help and its limits stand here and nowhere
else (`flags.py` makes the flags from them).
"""

import dataclasses
import functools
import math
from dataclasses import dataclass, field
from typing import Any, get_args, get_type_hints


class SettingsError(ValueError):
    """A setting that cannot work; names the flag, the value, what was expected and the fix."""


def setting(default: Any, help: str, choices: tuple | None = None, least=None, most=None) -> Any:
    """A dataclass field that knows its help text, its choices and its inclusive limits."""
    return field(
        default=default,
        metadata={"help": help, "choices": choices, "least": least, "most": most},
    )


_hints = functools.cache(get_type_hints)


def value_type(settings_class: type, name: str) -> type:
    """The type of a field without its `| None`."""
    hint = _hints(settings_class)[name]
    return next((t for t in get_args(hint) if t is not type(None)), hint)


def _may_be_none(settings_class: type, name: str) -> bool:
    return type(None) in get_args(_hints(settings_class)[name])


class Checked:
    """Checks every field against its type, choices and limits when the dataclass is made."""

    def __post_init__(self):
        for item in dataclasses.fields(self):
            value, limits = getattr(self, item.name), item.metadata
            if value is None and _may_be_none(type(self), item.name):
                continue
            kind = value_type(type(self), item.name)
            fits = type(value) is kind or (kind is float and type(value) is int)
            if not fits or (kind is float and not math.isfinite(value)):
                what = "a finite number" if kind is float else f"of type {kind.__name__}"
                raise SettingsError(f"--{item.name}={value!r} is not {what}")
            if limits["choices"] and value not in limits["choices"]:
                raise SettingsError(
                    f"--{item.name}={value} is unknown; use one of {', '.join(limits['choices'])}"
                )
            if limits["least"] is not None and value < limits["least"]:
                raise SettingsError(
                    f"--{item.name}={value} is too small; use {limits['least']} or more"
                )
            if limits["most"] is not None and value > limits["most"]:
                raise SettingsError(
                    f"--{item.name}={value} is too large; use {limits['most']} or less"
                )

    def to_json(self) -> dict:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: dict):
        known = {item.name for item in dataclasses.fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise SettingsError(
                f"{cls.__name__} has no setting {unknown[0]!r}; it was written by another version"
            )
        return cls(**values)


@dataclass(frozen=True)
class ModelSettings(Checked):
    """The sizes beside the architecture string; defaults are those of Sparse Mixer Base."""

    architecture: str = setting(
        "5*(lf)4*(lg)lf4*(sf)",
        "Sublayers in order, one letter each: s f g l r h c t, N*(…) repeats.",
    )
    share_block_weights: bool = setting(
        False, "Letters repeated inside one '.'-block reuse one set of weights."
    )
    d_emb: int | None = setting(None, "Width of the embeddings; d_model if not given.", least=1)
    d_model: int = setting(512, "Width of the residual stream.", least=1)
    d_ff: int = setting(2048, "Hidden width of the dense feed-forwards.", least=1)
    num_heads: int = setting(8, "Attention heads.", least=1)
    dropout_rate: float = setting(
        0.1, "Dropout on embeddings and dense feed-forwards.", least=0, most=0.99
    )
    attention_dropout_rate: float = setting(
        0.1, "Dropout on attention probabilities.", least=0, most=0.99
    )
    mixing_implementation: str = setting(
        "auto", "How r h c t are computed.", ("auto", "fft", "matmul")
    )
    mask_padding_in_mixing: bool = setting(
        False, "Zero padding before mixing; the original mixes it in."
    )
    mask_padded_queries: bool = setting(
        False, "Attention: padding attends to everything evenly, as in the original."
    )
    num_experts: int = setting(16, "Experts of each g sublayer.", least=0)
    expert_d_ff: int | None = setting(
        None, "Hidden width of each expert; d_ff if not given.", least=1
    )
    expert_dropout_rate: float = setting(0.1, "Dropout on expert outputs.", least=0, most=0.99)
    router: str = setting(
        "experts_choose",
        "Experts choose tokens, tokens choose experts, or the latter without a capacity.",
        ("experts_choose", "tokens_choose", "dropless"),
    )
    num_selected_experts: int = setting(1, "Experts a token chooses.", least=1)
    capacity_factor: float = setting(
        1.0, "Expert capacity in training, as a multiple of tokens / experts.", least=1e-6
    )
    eval_capacity_factor: float | None = setting(
        None, "The same in evaluation; capacity_factor if not given.", least=1e-6
    )
    min_expert_capacity: int = setting(4, "No expert has a lower capacity.", least=1)
    batch_prioritized_routing: bool = setting(
        True, "Route the most confident tokens of a group first."
    )
    max_group_size: int = setting(4096, "Most tokens routed together.", least=1)
    jitter_noise: float = setting(
        0.0, "Router inputs are multiplied by U(1-x, 1+x) in training.", least=0, most=0.99
    )
    balance_loss_factor: float = setting(0.01, "Weight of the load-balance loss.", least=0)
    router_z_loss_factor: float = setting(1e-4, "Weight of the router z-loss.", least=0)
    route_padding: bool = setting(
        False, "Route padding tokens too, as the original does; wastes capacity."
    )
    dispatch: str = setting(
        "gather",
        "How tokens reach their experts: index gathers or one-hot products.",
        ("gather", "einsum"),
    )
    gate: str = setting(
        "softmax",
        "What the chosen experts are weighed with, where tokens choose: their share in a softmax "
        "over all experts, a softmax over those chosen, or another gate by name.",
        ("softmax", "top_k", "noisy_top_k", "switch", "gshard", "frozen_random"),
    )
    first_selected_experts: int | None = setting(
        None,
        "Experts a token chooses at the start; grows to --num_selected_experts over the run.",
        least=1,
    )
    norm: str = setting(
        "post", "LayerNorm behind each residual sum, or before each sublayer.", ("post", "pre")
    )
    activation: str = setting(
        "gelu", "Of the feed-forwards' hidden layers.", ("gelu", "gelu_exact", "relu", "gated_gelu")
    )
    num_segments: int = setting(4, "Encoder: rows of the segment table.", least=1)
    embedding_projection: bool = setting(True, "Encoder: a dense layer behind the embeddings.")
    layer_norm_epsilon: float = setting(1e-12, "Encoder: added to LayerNorm's variances.", least=0)
    initializer: str = setting(
        "normal",
        "Initial weights: normal of standard deviation 0.02, or those of PyTorch's layers.",
        ("normal", "torch"),
    )
    attn_span: int = setting(512, "Language model: tokens back that attention sees.", least=1)
    attend_to_self: bool = setting(
        False, "Language model: a token sees itself too; the original's does not."
    )
    adapt_span: bool = setting(
        False, "Language model: each head learns how much of the span it sees."
    )
    adapt_span_loss: float = setting(
        0.0, "Language model: weight of the learned spans, in tokens, in the loss.", least=0
    )
    adapt_span_ramp: int = setting(
        32, "Language model: tokens over which a learned span ends.", least=1
    )
    adapt_span_init: float = setting(
        0.0,
        "Language model: learned span at the start, as a share of --attn_span.",
        least=0,
        most=1,
    )

    def __post_init__(self):
        super().__post_init__()
        if "s" in self.architecture and self.d_model % self.num_heads:
            fits = [h for h in range(1, self.d_model + 1) if self.d_model % h == 0]
            nearest = min(fits, key=lambda heads: abs(heads - self.num_heads))
            raise SettingsError(
                f"--num_heads={self.num_heads} does not divide --d_model={self.d_model}; "
                f"use {nearest}"
            )
        if not self.embedding_projection and self.d_emb not in (None, self.d_model):
            widths = f"--d_emb={self.d_emb} beside --d_model={self.d_model}"
            raise SettingsError(f"{widths} needs a projection; drop --embedding_projection=false")
        if "g" in self.architecture and self.num_experts == 0:
            raise SettingsError("--num_experts=0 does not fit an architecture with g; use 16")
        if "g" in self.architecture and self.num_selected_experts > self.num_experts:
            raise SettingsError(
                f"--num_selected_experts={self.num_selected_experts} is more than "
                f"--num_experts={self.num_experts}; use {self.num_experts} or fewer"
            )


@dataclass(frozen=True)
class TrainingSettings(Checked):
    """What is optimised and how: a change to any of these changes the result."""

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
    precision: str = setting("float32", "Computation dtype.", ("float32", "mixed_bfloat16"))
    jit_compile: str = setting(
        "auto",
        "Compile the step with XLA; auto times both on the first batch and keeps the faster.",
        ("auto", "true", "false"),
    )
    seed: int = setting(0, "Decides initial weights, data order, masks and dropout.", least=0)

    def __post_init__(self):
        super().__post_init__()
        steps_are_given = self.train_epochs is None and self.warmup_proportion is None
        if steps_are_given and self.warmup_steps > self.train_steps:
            raise SettingsError(
                f"--warmup_steps={self.warmup_steps} is more than --train_steps="
                f"{self.train_steps}; use {max(self.train_steps // 10, 1)}"
            )

    def extends(self, earlier: "TrainingSettings") -> bool:
        """Whether training with these only goes on where training with `earlier` ends."""
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


@dataclass(frozen=True)
class RunSettings(Checked):
    """Where a run lives, how often it reports, what it does when something fails.

    None of it changes the result of a run in which nothing fails.
    """

    strategy: str = setting(
        "auto",
        "Devices to train on; auto takes the --tpu, the workers of TF_CONFIG, or every GPU.",
        ("auto", "one_device", "mirrored", "multi_worker", "tpu"),
    )
    tpu: str | None = setting(None, "The TPU: local on a TPU VM, its name, or grpc://address.")
    virtual_devices: int = setting(0, "Split the CPU into this many devices.", least=0)
    eval_every: int = setting(1000, "Steps between evaluations.", least=1)
    evaluations: int | None = setting(
        None, "Evaluations spread evenly over the run, instead of --eval_every.", least=1
    )
    eval_steps: int | None = setting(
        None, "Evaluation batches; the whole validation split if not given.", least=1
    )
    checkpoint_every: int = setting(1000, "Steps between checkpoints.", least=1)
    checkpoints_to_keep: int = setting(2, "Newest checkpoints kept, besides the best.", least=1)
    log_every: int = setting(100, "Steps between progress lines.", least=1)
    inspect: bool = setting(
        True, "Look at experts, mixing and attention of the trained weights for the report."
    )
    profile: str | None = setting(
        None, "START:STOP: steps whose trace goes to tensorboard/, for its profiler plugin."
    )
    fork_from: str | None = setting(
        None,
        "WORKDIR@STEP: a new run that goes on from a checkpoint of another, with other flags; "
        "weights, optimizer and data position are its.",
    )
    on_nonfinite: str = setting(
        "stop",
        "An update whose loss or gradients are not finite is never applied: stop, or go on.",
        ("stop", "skip"),
    )
    on_spike: str = setting(
        "off",
        "An update whose loss or gradient norm stands far out from the last 100: apply it, skip "
        "it, or go back to the last checkpoint and on with the batches after it.",
        ("off", "skip", "rollback"),
    )
    watch_maintenance: str = setting(
        "auto",
        "Stop with a checkpoint when the metadata server of a Google Cloud machine announces that "
        "it is preempted or stopped for maintenance; auto watches under --strategy=tpu.",
        ("auto", "true", "false"),
    )
    max_skips_in_a_row: int = setting(
        10, "Stop when more updates in a row than this were skipped.", least=0
    )
    max_rollbacks: int = setting(3, "Stop when a run needs more rollbacks than this.", least=0)

    def __post_init__(self):
        super().__post_init__()
        if self.profile is None:
            return
        start, _, stop = self.profile.partition(":")
        if not (start.isdigit() and stop.isdigit() and int(start) < int(stop)):
            raise SettingsError(
                f"--profile={self.profile} is not START:STOP, two steps in their order; use 100:110"
            )

    def scheduled(self, train_steps: int) -> "RunSettings":
        """These settings with the evaluations counted out in steps."""
        if self.evaluations is None:
            return self
        every = -(-train_steps // self.evaluations)
        return dataclasses.replace(self, eval_every=every, evaluations=None)


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
