"""Cost of moving tokens to their experts: forward + backward, against the experts alone.

    python -m benchmarks.dispatch [--experts 8 16 64] [--jit] [--repeats 9] [--tokens 4096]
                                  [--d_model 256] [--d_ff 1024] [--precision float32]

One choice a token. Every way is timed in turn within one process, round after round, so that a slow
moment of the machine meets all of them; the last row, every expert on every token, behind them.
With KERAS_BACKEND=jax the same on JAX, on a GPU where there is one, which wants more tokens.
"""

import argparse

import keras
from keras import ops

from benchmarks import steps, timing
from sparse_mixer_tf.layers import Experts, MixtureOfExperts

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


def measure(num_experts: int, options: argparse.Namespace) -> dict[str, float]:
    """Median milliseconds of each way."""
    shape = (8, options.tokens // 8, options.d_model)
    tokens = ops.cast(keras.random.normal(shape), keras.config.dtype_policy().compute_dtype)
    per_expert = ops.reshape(tokens, (num_experts, -1, options.d_model))

    def of_experts(x):
        return steps.forward_and_back(Experts(num_experts, options.d_ff), x, options.jit)

    runs = {"the expert matmuls alone": of_experts(per_expert)}
    for name, settings in WAYS.items():
        layer = MixtureOfExperts(options.d_ff, {"num_experts": num_experts, **settings})
        runs[name] = steps.forward_and_back(layer, tokens, options.jit)
    times = timing.in_turn(runs, options.repeats)
    # As in models that weigh the answers of all experts afterwards. Timed behind the others, whose
    # memory it would take: with 64 experts it fills gigabytes.
    all_tokens = ops.reshape(tokens, (1, -1, options.d_model))
    all_tokens = ops.broadcast_to(all_tokens, (num_experts, *all_tokens.shape[1:]))
    everything = of_experts(all_tokens)
    times |= timing.in_turn({"every expert on every token": everything}, options.repeats)
    return timing.medians(times)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--experts", type=int, nargs="+", default=[8, 16, 64])
    parser.add_argument("--jit", action="store_true", help="compile with XLA")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--tokens", type=int, default=4096)
    parser.add_argument("--d_model", type=int, default=256)
    parser.add_argument("--d_ff", type=int, default=1024)
    parser.add_argument("--precision", default="float32", choices=("float32", "mixed_bfloat16"))
    options = parser.parse_args()
    if any(options.tokens < 1 or options.tokens % n for n in (8, *options.experts)):
        parser.error(f"--tokens={options.tokens}: expected a multiple of 8 and of all --experts")
    keras.config.set_dtype_policy(options.precision)
    for num_experts in options.experts:
        compiler = steps.compiler(str(options.jit).lower())
        print(f"\n{num_experts} experts, {compiler}, {options.precision}")
        medians = measure(num_experts, options)
        alone = medians["the expert matmuls alone"]
        for name, milliseconds in medians.items():
            print(f"  {name:28s} {milliseconds:8.2f} ms {milliseconds / alone:6.2f}")


if __name__ == "__main__":
    keras.utils.set_random_seed(0)
    main()
