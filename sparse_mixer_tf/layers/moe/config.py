"""Settings of routing in a mixture-of-experts layer."""

import dataclasses
from dataclasses import dataclass

from sparse_mixer_tf.layers.moe.router import GATES

ROUTERS = ("experts_choose", "tokens_choose", "dropless")
DISPATCHERS = ("gather", "einsum")
SWITCH_JITTER = 0.1
# What a gate fixes of the number of experts that a token chooses.
SELECTED_BY_GATE = {"switch": 1, "gshard": 2}


@dataclass(frozen=True)
class RoutingSettings:
    """Settings of routing, checked when made.

    Attributes:
        num_experts: number of experts.
        router: `experts_choose`: each expert takes the tokens it weighs highest;
            `tokens_choose`: each token takes its best experts, up to their capacity;
            `dropless`: the same without a capacity.
        num_selected_experts: experts a token chooses; no matter to `experts_choose`.
        capacity_factor: an expert's capacity as a multiple of tokens / experts, in training.
        eval_capacity_factor: the same in evaluation; `capacity_factor` where `None`.
        min_expert_capacity: no expert has a lower capacity.
        batch_prioritized_routing: `tokens_choose` serves the most confident tokens first.
        jitter_noise: router inputs are multiplied by U(1 - jitter, 1 + jitter) in training.
        max_group_size: most tokens that are routed together; `token_groups.group_shape` says where
            the published groups are larger.
        dispatch: `gather`: by index; `einsum`: by products with one-hot masks.
        balance_loss_factor: weight of the balance loss.
        router_z_loss_factor: weight of the router z-loss.
        route_padding: route padding like any token, as the published code does.
        gate: what the outputs of the chosen experts are weighed with, where tokens choose.
            `softmax`: their share in a softmax over all experts;
            `top_k`: softmax over the chosen experts alone;
            `noisy_top_k`: the same, of logits with learned noise;
            `switch`: `softmax` of one expert, with jitter noise, 0.1 unless set;
            `gshard`: `top_k` of two experts, the second skipped at random;
            `frozen_random`: `top_k` by a router that stays as it was initialised.
        router_bias: whether router logits have a bias.
    """

    num_experts: int = 16
    router: str = "experts_choose"
    num_selected_experts: int = 1
    capacity_factor: float = 1.0
    eval_capacity_factor: float | None = None
    min_expert_capacity: int = 4
    batch_prioritized_routing: bool = True
    jitter_noise: float = 0.0
    max_group_size: int = 4096
    dispatch: str = "gather"
    balance_loss_factor: float = 0.01
    router_z_loss_factor: float = 1e-4
    route_padding: bool = False
    gate: str = "softmax"
    router_bias: bool = True

    def __post_init__(self):
        counts = ("num_experts", "num_selected_experts", "min_expert_capacity", "max_group_size")
        for name in counts:
            self._expect(name, getattr(self, name) >= 1, "a number of at least 1", "use 1 or more")
        choices_of = {"router": ROUTERS, "dispatch": DISPATCHERS, "gate": GATES}
        for name, choices in choices_of.items():
            listed = ", ".join(choices)
            self._expect(name, getattr(self, name) in choices, f"one of {listed}", "choose one")
        self._expect(
            "num_selected_experts",
            self.num_selected_experts <= self.num_experts,
            f"at most num_experts={self.num_experts}",
            "choose fewer, or add experts",
        )
        for name in ("capacity_factor", "eval_capacity_factor"):
            factor = getattr(self, name)
            if factor is not None:
                self._expect(name, factor > 0, "a positive factor", "1.0 gives each token one slot")
        for name in ("balance_loss_factor", "router_z_loss_factor"):
            self._expect(name, getattr(self, name) >= 0, "a weight of at least 0", "0 turns it off")
        self._expect(
            "jitter_noise", 0 <= self.jitter_noise < 1, "a number in [0, 1)", "0 turns it off"
        )
        self._expect(
            "gate",
            self.gate == "softmax" or self.router != "experts_choose",
            "softmax where router='experts_choose'",
            "let tokens choose with router='dropless'",
        )
        selected = SELECTED_BY_GATE.get(self.gate, self.num_selected_experts)
        self._expect(
            "num_selected_experts",
            self.num_selected_experts == selected,
            f"{selected} with gate={self.gate!r}",
            "set that, or choose gate='top_k'",
        )

    def _expect(self, name: str, holds: bool, expected: str, fix: str):
        if not holds:
            value = getattr(self, name)
            raise ValueError(f"{name}={value!r} does not fit: expected {expected}; {fix}")

    @property
    def router_jitter(self) -> float:
        """Jitter of the router's inputs in training, which `switch` never goes without."""
        return self.jitter_noise or (SWITCH_JITTER if self.gate == "switch" else 0.0)

    def check_causal(self) -> None:
        """Refuses what lets a token change how an earlier one is routed.

        Raises:
            ValueError: in experts choosing tokens, priority over the batch, or second choices that
                compete with first choices of later tokens.
        """
        if self.router == "experts_choose":
            culprit = "router='experts_choose' compares all tokens before it routes any"
        elif self.router == "tokens_choose" and self.batch_prioritized_routing:
            culprit = "batch_prioritized_routing=True serves confident later tokens first"
        elif self.router == "tokens_choose" and self.num_selected_experts > 1:
            culprit = (
                f"num_selected_experts={self.num_selected_experts} with a capacity serves the "
                "first choices of later tokens before second choices"
            )
        else:
            return
        raise ValueError(
            f"{culprit} and cannot stand in a causal model; use router='dropless', or "
            "router='tokens_choose' with one expert a token and no priority"
        )

    def capacity_factor_when(self, training: bool) -> float:
        """The capacity factor of training or of evaluation."""
        if training or self.eval_capacity_factor is None:
            return self.capacity_factor
        return self.eval_capacity_factor

    def to_dict(self) -> dict:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict) -> "RoutingSettings":
        """The settings of a dict made by `to_dict`.

        Raises:
            ValueError: a key is no setting.
        """
        unknown = sorted(set(values) - {field.name for field in dataclasses.fields(cls)})
        if unknown:
            known = ", ".join(field.name for field in dataclasses.fields(cls))
            raise ValueError(f"{unknown[0]!r} is no routing setting; expected {known}")
        return cls(**values)
