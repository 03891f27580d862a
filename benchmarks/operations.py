"""Time of a step by kind of operation, and the rate at which its products multiply.

    python -m benchmarks.operations [--sizes=small] [--models="BERT,Sparse Mixer"]
                                    [--what=infer] [--repeats=3] [--rows=8]

By a trace of TensorFlow's profiler, of steps that XLA does not compile. Operations run beside one
another, so that their times add up to more than a step's. The rate of products is what they need in
theory by the time that they ran; the last line has that of a plain one.
"""

import argparse
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import keras
import tensorflow as tf
from tensorflow.tsl.profiler.protobuf import xplane_pb2

from benchmarks import contestants, timing
from benchmarks.compare import SIZES
from sparse_mixer_tf.architecture import SUBLAYERS
from sparse_mixer_tf.cost_model import pretraining_table
from sparse_mixer_tf.settings import ModelSettings

EXPERTS, OTHERS = "products of experts", "other products"
# Whole functions of Python, and lines of its own; what is written in C++ has two colons.
NOT_OPERATIONS = ("EagerLocalExecute", "$")


def traced(run: Callable[[], object], repeats: int) -> Counter:
    """Milliseconds in a call of `run` of each operation, `place in the model:kind`."""
    run()
    with tempfile.TemporaryDirectory() as folder:
        # Python's own calls would slow down what is looked at.
        options = tf.profiler.experimental.ProfilerOptions(host_tracer_level=2)
        tf.profiler.experimental.start(folder, options)
        for _ in range(repeats):
            run()
        tf.profiler.experimental.stop()
        space = xplane_pb2.XSpace()
        space.ParseFromString(next(Path(folder).rglob("*.xplane.pb")).read_bytes())
    milliseconds = Counter()
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events:
                name = plane.event_metadata[event.metadata_id].name
                if ":" in name and "::" not in name and not name.startswith(NOT_OPERATIONS):
                    milliseconds[name.split("#")[0]] += event.duration_ps / 1e9 / repeats
    return milliseconds


def by_kind(milliseconds: Counter) -> Counter:
    """The same added up: products of experts, other products, and each other kind by its name."""
    kinds = Counter()
    for name, spent in milliseconds.items():
        place, _, kind = name.rpartition(":")
        if "MatMul" in kind:
            kind = EXPERTS if "/experts" in place else OTHERS
        kinds[kind.removeprefix("_Mkl")] += spent
    return kinds


def operations_of(settings: ModelSettings, vocabulary: int, batch: int, seq: int) -> Counter:
    """Floating-point operations of a forward pass, by the kinds of `by_kind`."""
    tokens, found = batch * seq, Counter()
    for row in pretraining_table(settings, vocabulary, seq, contestants.PREDICTIONS, tokens):
        found[EXPERTS if row.kind == SUBLAYERS["g"] else OTHERS] += row.flops * tokens
    return found


def look_at(name: str, options: argparse.Namespace) -> None:
    """Prints the table of one model."""
    models, vocabulary = SIZES[options.sizes]
    common = contestants.Options(vocabulary)
    settings = models()[name]
    run = getattr(contestants.ours(settings, common), options.what)
    took = timing.medians(timing.in_turn({"": run}, options.repeats, warmup=2))[""]
    kinds = by_kind(traced(run, options.repeats))
    passes = contestants.PASSES[options.what]
    flops = operations_of(settings, vocabulary, common.batch, common.seq)
    print(f"\n{options.sizes}, {options.what}, {name}: {took:,.0f} ms")
    print(f"  {'':24}{'ms':>9}{'share':>8}{'GFLOP/s':>9}")
    for kind, spent in kinds.most_common(options.rows):
        rate = f"{passes * flops[kind] / 1e6 / spent:>9,.0f}" if kind in flops else ""
        print(f"  {kind:24}{spent:>9,.1f}{spent / kinds.total():>8.1%}{rate}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="small", choices=SIZES)
    parser.add_argument("--models", default="BERT,Sparse Mixer", help="names, with commas between")
    parser.add_argument("--what", default="infer", choices=contestants.PASSES)
    parser.add_argument("--repeats", type=int, default=3, help="steps that are traced")
    parser.add_argument("--rows", type=int, default=8, help="kinds of operations to print")
    options = parser.parse_args()
    if keras.backend.backend() != "tensorflow":
        parser.error(
            f"KERAS_BACKEND={keras.backend.backend()}: expected tensorflow, whose trace it is"
        )
    names = options.models.split(",")
    known = list(SIZES[options.sizes][0]())
    if unknown := [name for name in names if name not in known]:
        parser.error(f"--models={options.models}: {unknown[0]!r} is none of {', '.join(known)}")
    for name in names:
        look_at(name, options)
    print(f"\n{timing.alone(timing.machine)}")


if __name__ == "__main__":
    main()
