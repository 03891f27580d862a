"""Cost and gain of experts on different replicas: bytes, milliseconds, memory.

    python -m benchmarks.expert_parallel [--experts 8 16 32 64 128] [--replicas 2] [--repeats 7]

4,096 tokens of width 256 on all replicas together, experts of width 1,024, one slot a token. Bytes
are counted where they are sent, forward and backward; in theory four all-to-alls move every slot,
and one of N parts stays where it is. The exchange and the experts' matmuls are timed apart, in
turn, forward and backward. Virtual devices share one CPU and its memory: what is timed here is
copying, not a network.
"""

import argparse

import tensorflow as tf

from benchmarks import timing
from sparse_mixer_tf.layers import MixtureOfExperts
from sparse_mixer_tf.layers.activations import activation_named
from sparse_mixer_tf.layers.moe.expert_ffn import ExpertWeights, HiddenLayer, expert_feed_forward
from sparse_mixer_tf.layers.moe.expert_parallel import (
    experts_apart,
    rows_from_owners,
    rows_to_owners,
)
from sparse_mixer_tf.training.distributed.expert_parallel import ExpertExchange
from sparse_mixer_tf.training.distributed.strategy import make_strategy
from sparse_mixer_tf.training.optimizers import adamw

TOKENS, D_MODEL, D_FF = 4096, 256, 1024
ROUTERS = ("experts_choose", "dropless")


class CountedExchange(ExpertExchange):
    """Notes what it sends, in bytes, one number for each all-to-all of a replica."""

    def __init__(self, strategy):
        super().__init__(strategy)
        self.sent = []

    def all_to_all(self, x, bound=None):
        self.sent.append(tf.size(x) * x.dtype.size)
        return super().all_to_all(x, bound)


def bytes_sent(strategy, num_experts: int, router: str) -> int:
    """Bytes that a replica hands to all-to-alls in a forward and backward pass."""
    exchange = CountedExchange(strategy)
    with strategy.scope(), experts_apart(exchange):
        layer = MixtureOfExperts(D_FF, {"num_experts": num_experts, "router": router})
        layer.build((None, None, D_MODEL))

    def of_replica():
        exchange.sent.clear()
        x = tf.random.normal((1, TOKENS // exchange.parts, D_MODEL))
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(tf.square(layer(x, training=True)))
        with tf.control_dependencies([tape.gradient(loss, x)]):
            return tf.add_n(exchange.sent)

    sent = tf.function(lambda: strategy.run(of_replica), autograph=False)()
    return int(max(strategy.experimental_local_results(sent)))


def milliseconds(strategy, num_experts: int, repeats: int) -> dict[str, float]:
    """Medians of the exchange alone and of the experts' matmuls alone, forward and backward."""
    exchange, own = ExpertExchange(strategy), num_experts // strategy.num_replicas_in_sync
    rows = TOKENS // strategy.num_replicas_in_sync // num_experts
    layer = HiddenLayer(activation_named("gelu"))

    def exchanged():
        x = tf.random.normal((num_experts, rows, D_MODEL))
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.square(rows_from_owners(rows_to_owners(x, exchange) * 2.0, exchange))
        return tf.reduce_sum(tape.gradient(y, x))

    def computed():
        x = tf.random.normal((own, rows * exchange.parts, D_MODEL))
        shapes = ((own, D_MODEL, D_FF), (own, D_FF), (own, D_FF, D_MODEL), (own, D_MODEL))
        weights = ExpertWeights(*(tf.fill(shape, 0.01) for shape in shapes))
        with tf.GradientTape() as tape:
            tape.watch((x, *weights))
            y = tf.square(expert_feed_forward(x, weights, layer)[0])
        return tf.add_n([tf.reduce_sum(g) for g in tape.gradient(y, (x, *weights))])

    def timed(function):
        run = tf.function(lambda: strategy.run(function), autograph=False)
        return lambda: [x.numpy() for x in strategy.experimental_local_results(run())]

    runs = {"exchange": timed(exchanged), "matmuls": timed(computed)}
    return timing.medians(timing.in_turn(runs, repeats, warmup=2))


def mebibytes_held(strategy, num_experts: int, apart: bool) -> float:
    """Weights and AdamW's state of one layer on one replica."""
    exchange = ExpertExchange(strategy) if apart else None
    with strategy.scope(), experts_apart(exchange):
        layer = MixtureOfExperts(D_FF, {"num_experts": num_experts})
        layer.build((None, None, D_MODEL))
        optimizer = adamw(1e-3)
        build = exchange.build if exchange else type(optimizer).build
        build(optimizer, layer.trainable_variables)
    held = [
        strategy.experimental_local_results(variable.value)[0].numpy().nbytes
        for variable in (*layer.weights, *optimizer.variables)
    ]
    return sum(held) / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--experts", type=int, nargs="+", default=[8, 16, 32, 64, 128])
    parser.add_argument("--replicas", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    strategy = make_strategy("mirrored", virtual_devices=options.replicas)
    parts = strategy.num_replicas_in_sync
    theory = 4 * (TOKENS // parts) * D_MODEL * 4 / 2**20
    print(timing.machine())
    print(
        f"{parts} replicas, float32; a replica hands {theory:.1f} MiB to all-to-alls in theory, "
        f"{theory * (parts - 1) / parts:.1f} of which leave it"
    )
    print(
        f"{'experts':>7} {'MiB sent':>9} {'dropless':>9} {'exchange':>9} {'matmuls':>9} "
        f"{'ratio':>6} {'MiB held':>9} {'together':>9} {'less':>6}"
    )
    for number in options.experts:
        sent = [bytes_sent(strategy, number, router) / 2**20 for router in ROUTERS]
        times = milliseconds(strategy, number, options.repeats)
        held = [mebibytes_held(strategy, number, apart) for apart in (True, False)]
        print(
            f"{number:>7} {sent[0]:>9.1f} {sent[1]:>9.1f} {times['exchange']:>9.1f} "
            f"{times['matmuls']:>9.1f} {times['exchange'] / times['matmuls']:>6.2f} "
            f"{held[0]:>9.1f} {held[1]:>9.1f} {held[1] / held[0]:>5.2f}x",
            flush=True,
        )


if __name__ == "__main__":
    main()
