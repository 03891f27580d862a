"""What it costs to bring tokens to their experts: forward + backward, beside the experts alone.

    python -m benchmarks.dispatch [--experts 8 16 64] [--jit] [--repeats 9]

4,096 tokens of width 256, experts of width 1,024, one choice a token. Every way is timed in turn
within one process, round after round, so that a slow moment of the machine meets all of them; the
last row, every expert on every token, behind them.
"""

import argparse

import keras
from keras import ops

from benchmarks import steps, timing
from sparse_mixer_tf.layers import Experts, MixtureOfExperts

TOKENS, D_MODEL, D_FF = 4096, 256, 1024
WAYS = {
    "einsum, one group": {"router": "experts_choose", "dispatch": "einsum"},
    "einsum, groups of 512": {
        "router": "experts_choose",
        "dispatch": "einsum",
        "max_group_size": 512,
    },
    "gather, experts choose": {"router": "experts_choose"},
    "gather, tokens choose": {"router": "tokens_choose"},
    "dropless": {"router": "dropless"},
}


def measure(num_experts: int, jit: bool, repeats: int) -> dict[str, float]:
    """Median milliseconds of each way."""
    tokens = keras.random.normal((8, TOKENS // 8, D_MODEL))
    per_expert = ops.reshape(tokens, (num_experts, TOKENS // num_experts, D_MODEL))

    def of_experts(x):
        return steps.forward_and_back(Experts(num_experts, D_FF), x, jit)

    runs = {"the expert matmuls alone": of_experts(per_expert)}
    for name, settings in WAYS.items():
        layer = MixtureOfExperts(D_FF, {"num_experts": num_experts, **settings})
        runs[name] = steps.forward_and_back(layer, tokens, jit)
    times = timing.in_turn(runs, repeats)
    # As in models that weigh the answers of all experts afterwards. Timed behind the others, whose
    # memory it would take: with 64 experts it fills gigabytes.
    all_tokens = ops.reshape(tokens, (1, TOKENS, D_MODEL))
    everything = of_experts(ops.broadcast_to(all_tokens, (num_experts, TOKENS, D_MODEL)))
    times |= timing.in_turn({"every expert on every token": everything}, repeats)
    return timing.medians(times)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--experts", type=int, nargs="+", default=[8, 16, 64])
    parser.add_argument("--jit", action="store_true", help="compile with XLA")
    parser.add_argument("--repeats", type=int, default=9)
    arguments = parser.parse_args()
    for num_experts in arguments.experts:
        print(f"\n{num_experts} experts, {'XLA' if arguments.jit else 'graph'}, float32")
        medians = measure(num_experts, arguments.jit, arguments.repeats)
        alone = medians["the expert matmuls alone"]
        for name, milliseconds in medians.items():
            print(f"  {name:28s} {milliseconds:8.1f} ms {milliseconds / alone:6.2f}")


if __name__ == "__main__":
    keras.utils.set_random_seed(0)
    main()
