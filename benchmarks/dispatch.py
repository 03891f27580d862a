"""What it costs to bring tokens to their experts: forward + backward, beside the experts alone.

    python -m benchmarks.dispatch [--experts 8 16 64] [--jit] [--repeats 9]

4,096 tokens of width 256, experts of width 1,024, one choice a token. Every way is timed in turn
within one process, round after round, so that a slow moment of the machine meets all of them.
"""

import argparse

import numpy as np
import tensorflow as tf

from benchmarks import timing
from sparse_mixer_tf.layers import Experts, MixtureOfExperts
from sparse_mixer_tf.layers.varying_shapes import varying_shapes

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


def timed_step(layer, x, jit: bool):
    """A compiled call that runs the layer forward and backward once."""

    def step(x, cotangent):
        # As the trainer does.
        with varying_shapes(not jit), tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
            loss = tf.reduce_sum(y * cotangent) + sum(layer.losses)
        # The output is returned, or the compiler would leave the last matmul out where it can.
        return y, tape.gradient(loss, [x, *(v.value for v in layer.trainable_variables)])

    compiled = tf.function(step, jit_compile=jit, reduce_retracing=True, autograph=False)
    cotangent = tf.random.normal(x.shape)

    def run():
        _, gradients = compiled(x, cotangent)
        return gradients[0].numpy()

    return run


def everything(num_experts: int) -> tf.keras.layers.Layer:
    """Experts of which each gets every token, as in models that weigh all outputs afterwards."""
    return Experts(num_experts, D_FF)


def measure(num_experts: int, jit: bool, repeats: int) -> dict[str, float]:
    """Median milliseconds of each way."""
    tokens = tf.random.normal([8, TOKENS // 8, D_MODEL])
    per_expert = tf.reshape(tokens, [num_experts, TOKENS // num_experts, D_MODEL])
    all_tokens = tf.broadcast_to(
        tf.reshape(tokens, [1, TOKENS, D_MODEL]), [num_experts, TOKENS, D_MODEL]
    )
    runs = {"the expert matmuls alone": timed_step(Experts(num_experts, D_FF), per_expert, jit)}
    for name, settings in WAYS.items():
        layer = MixtureOfExperts(D_FF, {"num_experts": num_experts, **settings})
        runs[name] = timed_step(layer, tokens, jit)
    if num_experts <= 16:
        runs["every expert on every token"] = timed_step(
            Experts(num_experts, D_FF), all_tokens, jit
        )
    return timing.medians(timing.in_turn(runs, repeats))


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
    np.random.seed(0)
    tf.random.set_seed(0)
    main()
