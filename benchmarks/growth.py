"""Growth of a training step's time and memory with the work, against theory.

    python -m benchmarks.growth [--of=sequence,experts,layers,batch] [--repeats=5] [--png=FILE]

Each point is a process of its own: the median of its steps, and how far its memory rose above that
of the imports. In theory a step takes its operations at the rate of a plain matmul, and weights and
activations at the rate of a plain copy; memory is the estimate that `describe` prints. What counts
is how both grow: the slope on logarithmic axes over the last three values. Where time has a slope
that is more than `TOLERANCE` above that of its theory, or memory has and is above its estimate as
well, the line says so and the exit code is 1.
"""

import argparse
import math
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import tensorflow as tf

from benchmarks import contestants, timing
from benchmarks.growth_picture import Curves, draw
from sparse_mixer_tf.architecture import lay_out
from sparse_mixer_tf.cost_model import pretraining_table, training_bytes
from sparse_mixer_tf.settings import ModelSettings

VOCABULARY = 8_000
TOLERANCE = 0.15
# What is read and written of each float of a weight: by forward and backward pass, the norm of the
# gradient, and AdamW with its two slots.
PASSES = 12
# And of each number that the backward pass needs: written, read by the next operation and by the
# backward pass, its gradient written and read.
ACTIVATION_PASSES = 5


class Point(NamedTuple):
    """A model and the batch that it is trained on."""

    settings: ModelSettings
    seq: int = 512
    batch: int = 2


class Growth(NamedTuple):
    """A size that grows, and the point of each value for the models that it matters to."""

    values: tuple[int, ...]
    models: tuple[str, ...]
    point: Callable[[str, int], Point]


def model(name: str, layers: int = 4, num_experts: int = 16) -> ModelSettings:
    """A model of width 256; in a Sparse Mixer half of the layers have attention, half experts."""
    sizes = ModelSettings(d_model=256, d_ff=1024, num_heads=4, num_experts=num_experts)
    half = layers // 2
    architectures = {
        "BERT": f"{layers}*(sf)",
        "FNet": f"{layers}*(rf)",
        "Sparse Mixer": lay_out("l", layers, half, "top", half, "middle"),
    }
    return replace(sizes, architecture=architectures[name])


ALL = ("BERT", "FNet", "Sparse Mixer")
GROWTHS = {
    "sequence": Growth((128, 256, 512, 1024, 2048, 4096), ALL, lambda m, n: Point(model(m), n, 1)),
    "experts": Growth(
        (4, 8, 16, 32, 64, 128), ALL[2:], lambda m, n: Point(model(m, num_experts=n), batch=8)
    ),
    "layers": Growth((4, 6, 12, 24), ALL, lambda m, n: Point(model(m, layers=n))),
    "batch": Growth((1, 2, 4, 8, 16), ALL, lambda m, n: Point(model(m), batch=n)),
}


def theory(point: Point, gflops: float, gigabytes: float) -> tuple[float, float]:
    """Milliseconds of a step and MiB of memory.

    Args:
        gflops: rate of a plain matmul, operations a second / 1e9.
        gigabytes: rate of a plain copy, bytes a second / 1e9.
    """
    tokens = point.seq * point.batch
    rows = pretraining_table(point.settings, VOCABULARY, point.seq, contestants.PREDICTIONS, tokens)
    operations = 3 * tokens * sum(row.flops for row in rows)
    weights = PASSES * sum(row.parameters for row in rows)
    activations = ACTIVATION_PASSES * tokens * sum(row.activations for row in rows)
    memory = sum(training_bytes(rows, tokens, activation_bytes=4).values())
    copied = 4 * (weights + activations)
    return 1e-6 * (operations / gflops + copied / gigabytes), memory / 2**20


def measure(point: Point, repeats: int) -> tuple[float, float]:
    """The same as `theory`, measured in a process that has done nothing else."""
    before = timing.peak_memory_mib()
    options = contestants.Options(VOCABULARY, seq=point.seq, batch=point.batch)
    train = contestants.ours(point.settings, options).train
    times = timing.in_turn({"": train}, repeats, warmup=2)[""]
    return statistics.median(times), timing.peak_memory_mib() - before


def copy_gigabytes() -> float:
    """Bytes a second / 1e9, read and written, of an array that no cache holds."""
    x = tf.zeros([2**26])
    negate = tf.function(tf.negative)
    times = timing.in_turn({"": lambda: negate(x)[0].numpy()}, 5, warmup=2)
    return 2 * 4 * 2**26 / 1e6 / statistics.median(times[""])


def slope(values: tuple[int, ...], costs: Sequence[float]) -> float:
    """Of the logarithms, from the third last value to the last."""
    return math.log(costs[-1] / costs[-3]) / math.log(values[-1] / values[-3])


def grow(growth: str, name: str, rates: tuple[float, float], repeats: int) -> Curves:
    """Measures and prints the points of one model."""
    values, _, point = GROWTHS[growth]
    points = []
    for value in values:
        here = point(name, value)
        costs = timing.alone(measure, here, repeats), theory(here, *rates)
        points.append(costs)
        (ms, mib), (ms_theory, mib_theory) = costs
        print(f"{name:13}{growth:10}{value:>5}{ms:>9,.0f}{ms_theory:>8,.0f}"
              f"{mib:>9,.0f}{mib_theory:>8,.0f}", flush=True)  # fmt: skip
    found, in_theory = (list(zip(*costs, strict=True)) for costs in zip(*points, strict=True))
    return Curves(growth, name, values, found, in_theory)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--of", default=",".join(GROWTHS), help="what grows")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--png", help="file for the picture")
    options = parser.parse_args()
    print(timing.machine())
    rates, drawn, above = (timing.matmul_gflops(), copy_gigabytes()), [], False
    print(f"plain copy {rates[1]:.1f} GB/s\n\n{'':28}{'ms':>9}{'theory':>8}{'MiB':>9}{'theory':>8}")
    for growth in options.of.split(","):
        for name in GROWTHS[growth].models:
            curves = grow(growth, name, rates, options.repeats)
            drawn.append(curves)
            slopes = [
                (slope(curves.values, costs), slope(curves.values, expected))
                for costs, expected in zip(curves.measured, curves.theory, strict=True)
            ]
            time, memory = (own > expected + TOLERANCE for own, expected in slopes)
            faster = time or (memory and curves.measured[1][-1] > curves.theory[1][-1])
            above |= faster
            line = "".join(f"{own:>9.2f}{expected:>8.2f}" for own, expected in slopes)
            print(f"{'slope of the last three':28}{line}{'  above its theory' if faster else ''}")
    if options.png:
        draw(drawn, options.png)
    return int(above)


if __name__ == "__main__":
    sys.exit(main())
