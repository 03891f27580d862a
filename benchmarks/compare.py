"""Our models against BERT, and against the same BERT and FNet of KerasHub and of transformers.

    python -m benchmarks.compare [--sizes=small,paper] [--precision=float32]
                                 [--jit_compile=false] [--rounds=5] [--peers] [--memory]
                                 [--json=FILE] [--batch=8] [--parts_at_once=2] [--beside_float32]

Training steps and inferences of 4,096 tokens (8 x 512; a GPU wants `--batch=64`), milliseconds,
median and spread. All models of one table are timed in turn, round after round, so that a slow
moment of the machine meets all. `--peers` adds tables of our BERT and FNet against theirs.
`--memory` runs each once more, in a process of its own, for its peak. `--json` keeps the ratios of
ours, which `python -m benchmarks.regressions` holds against those of `baseline.json`.
`--jit_compile` is the trainer's: `elementwise` has XLA compile what lies between products. With
`--beside_float32` each of ours is also timed against itself in float32, not compiled.
`--parts_at_once` trains as the trainer's flag does; inferences, which know no parts, are left out.
With KERAS_BACKEND=jax the same models run on JAX, on a GPU where there is one.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from benchmarks import contestants, steps, timing
from benchmarks.contestants import Contestant, Options

SIZES = {
    "small": (contestants.small_models, 8_000),
    "paper": (contestants.paper_models, 32_000),
}


def fields(sizes: str, options: argparse.Namespace) -> list[dict[str, tuple]]:
    """Models that are timed against each other, the first of each against all: name to maker.

    Ours are one field, and each peer stands in one with our model of its kind.
    """
    models, vocabulary = SIZES[sizes]
    common = Options(
        vocabulary,
        batch=options.batch,
        precision=options.precision,
        way=options.jit_compile,
        parts_at_once=options.parts_at_once,
    )
    named = models()
    ours = {name: (contestants.ours, (settings, common)) for name, settings in named.items()}
    found = [ours]
    for name in ("BERT", "FNet") if options.peers else ():
        given = (name, named[name], common)
        found.append(
            {
                name: ours[name],
                f"{name}, KerasHub": (contestants.of_keras_hub, given),
                f"{name}, transformers": (contestants.of_transformers, given),
            }
        )
    for name, settings in named.items() if options.beside_float32 else ():
        plain = replace(common, precision="float32", way="false")
        found.append({f"{name}, float32": (contestants.ours, (settings, plain)), name: ours[name]})
    return found


def compare(
    sizes: str, field: dict[str, tuple], options: argparse.Namespace
) -> dict[str, list[float]]:
    """Prints both tables; for each contestant how many times as fast as the first, by round."""
    if options.parts_at_once > 1:
        # Not above: on JAX there need be no TensorFlow.
        from sparse_mixer_tf.training.distributed.cpu_partition import share_out_cores

        share_out_cores(options.parts_at_once)
    ratios = {}
    made = {name: make(*given) for name, (make, given) in field.items()}
    first = next(iter(made))
    for what in contestants.PASSES if options.parts_at_once == 1 else ("train",):
        runs = {name: getattr(contestant, what) for name, contestant in made.items()}
        times = timing.in_turn(runs, options.rounds, warmup=2)
        # In a process of its own, which has all the threads.
        rates = {
            precision: timing.alone(timing.matmul_gflops, precision.removeprefix("mixed_"))
            for precision in {contestant.precision for contestant in made.values()}
        }
        how = steps.compiler(options.jit_compile)
        if options.parts_at_once > 1:
            how += f", {options.parts_at_once} parts at once"
        print(f"\n{sizes}, {what}, {options.precision}, {how}, {options.batch} x 512")
        times_first = f"times {first.split(', ')[-1]}"
        print(f"  {'':22} {'ms':>8} {'min':>8} {'max':>8} {times_first:>13} {'tokens/s':>9} "
              f"{'of matmul':>9}")  # fmt: skip
        compiled = "" if options.jit_compile == "false" else f", {how}"
        ratios |= {
            f"{sizes}, {what}, {options.precision}{compiled}, {name}": [
                of_first / own for of_first, own in zip(times[first], values, strict=True)
            ]
            for name, values in times.items()
            if name != first
        }
        reference = statistics.median(times[first])
        for name, values in times.items():
            tokens = options.batch * 512
            print(
                _line(name, values, reference, made[name], contestants.PASSES[what], rates, tokens)
            )
    sys.stdout.flush()
    return ratios


def _line(
    name, values, reference: float, made: Contestant, passes: int, rates: dict, tokens: int
) -> str:
    median = statistics.median(values)
    line = (
        f"  {name:22} {_short(median)} {_short(min(values))} {_short(max(values))} "
        f"{reference / median:>13.2f} {1e3 * tokens / median:>9,.0f}"
    )
    if made.flops is not None:
        line += f" {passes * made.flops / (1e6 * median) / rates[made.precision]:>9.0%}"
    return line


def _short(milliseconds: float) -> str:
    """Milliseconds of a GPU need a digit more."""
    return f"{milliseconds:>8,.{0 if milliseconds >= 100 else 2}f}"


def peak_memory(make: Callable, given: tuple) -> float:
    """MiB that this process has held at most when it has trained a contestant for two steps."""
    contestant = make(*given)
    for _ in range(2):
        contestant.train()
    return timing.peak_memory_mib()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="small", help="small, paper, or both with a comma")
    parser.add_argument("--precision", default="float32", choices=("float32", "mixed_bfloat16"))
    parser.add_argument(
        "--jit_compile",
        default="false",
        choices=("false", "elementwise", "true"),
        help="what XLA compiles",
    )
    parser.add_argument(
        "--beside_float32", action="store_true", help="ours against themselves in float32 too"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=8, help="sequences of 512 tokens")
    parser.add_argument("--peers", action="store_true", help="KerasHub and transformers too")
    parser.add_argument("--memory", action="store_true", help="peak memory too")
    parser.add_argument("--parts_at_once", type=int, default=1, help="of our training steps")
    parser.add_argument("--json", type=Path, help="file for the ratios")
    options = parser.parse_args()
    compiled = options.jit_compile == "true"
    if options.parts_at_once > 1 and (compiled or options.peers or options.json):
        parser.error("--parts_at_once goes with neither --jit_compile=true, --peers nor --json")
    if options.batch < 1 or (options.json and options.batch != 8):
        parser.error(f"--batch={options.batch}: expected 1 or more, and 8 with --json")
    machine = timing.alone(timing.machine)
    print(machine, flush=True)
    ratios = {}
    for sizes in options.sizes.split(","):
        ours, *peers = fields(sizes, options)
        ratios |= timing.alone(compare, sizes, ours, options)
        for field in peers:
            timing.alone(compare, sizes, field, options)
        if options.memory:
            print(f"\n{sizes}, peak memory of a training process, MiB")
            everybody = {name: given for field in (ours, *peers) for name, given in field.items()}
            for name, given in everybody.items():
                print(f"  {name:22} {timing.alone(peak_memory, *given):>8,.0f}", flush=True)
    if options.json:
        found = {"machine": machine, "ratios": ratios}
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
