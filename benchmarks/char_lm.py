"""Training speed of a Brainformer against the published code: training tokens per second.

    python -m benchmarks.char_lm [--parts_at_once 2] [--jit] [--peers]

The published code's figures stand in `ORIGINAL`: PyTorch 2.13 on two idle CPU cores of another
machine. With --peers its arithmetic runs on this one: a process for each of a few rounds, ours and
the peer's in turn, as one step behind the other's would find its caches and threads in disorder.
"""

import argparse
import tempfile
from pathlib import Path

from benchmarks import timing
from benchmarks.brainformer_run import SPAN_LOSS, Configuration, Run, corpus, peer_of
from sparse_mixer_tf.training.distributed.cpu_partition import share_out_cores

# Training tokens per second of the published code.
ORIGINAL = {
    Configuration(128, 4, 256, 512, 4, False): 7_480,
    Configuration(128, 4, 256, 512, 4, True): 10_700,
    Configuration(256, 8, 512, 1024, 8, False): 1_706,
    Configuration(256, 8, 512, 1024, 8, True): 5_025,
}
# Steps until memory and threads have settled.
WARMUP = 10


def speed(text: Path, options: argparse.Namespace) -> None:
    columns = ("d_model", "block", "span", "batch", "adaptive", "tokens/s", "original", "times")
    peers = ("peer", "times") if options.peers else ()
    print("  ".join(f"{column:>8}" for column in (*columns, *peers)))
    timed = {"ours": _our_times} | ({"peer": _peer_times} if options.peers else {})
    for sizes, original in ORIGINAL.items():
        times = {name: [] for name in timed}
        for _ in range(options.rounds):
            for name, measure in timed.items():
                times[name] += timing.alone(measure, sizes, text, options)
        tokens = sizes.batch_size * sizes.block_size
        speeds = {name: 1e3 * tokens / ms for name, ms in timing.medians(times).items()}
        ours, peer = speeds["ours"], speeds.get("peer")
        cells = [
            *(f"{size:,}" for size in (sizes.d_model, sizes.block_size, sizes.attn_span)),
            *(f"{sizes.batch_size}", "yes" if sizes.adapt_span else "no"),
            *(f"{ours:,.0f}", f"{original:,}", f"{ours / original:.2f}"),
            *((f"{peer:,.0f}", f"{ours / peer:.2f}") if peer else ()),
        ]
        print("  ".join(f"{cell:>8}" for cell in cells), flush=True)


def _our_times(sizes: Configuration, text: Path, options: argparse.Namespace) -> list[float]:
    """Milliseconds of training steps."""
    share_out_cores(options.parts_at_once)
    recipe = ("--warmup_steps=0", f"--dropout_rate={options.dropout_rate}")
    run = Run(sizes, text, recipe, options.parts_at_once, options.jit)
    return timing.in_turn({"ours": run.train}, options.repeats, warmup=WARMUP)["ours"]


def _peer_times(sizes: Configuration, text: Path, options: argparse.Namespace) -> list[float]:
    """Those of the published arithmetic at these sizes, its experts and spans as they start."""
    from benchmarks.brainformer_in_torch import training_of

    losses = training_of(
        peer_of(sizes), text.read_bytes(), sizes.batch_size, sizes.block_size, SPAN_LOSS
    )
    train = {"peer": lambda: next(losses)}
    return timing.in_turn(train, options.repeats, warmup=WARMUP)["peer"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", type=Path, help="a text file; by default Python's own sources")
    parser.add_argument("--dropout_rate", type=float, default=0.0)
    parser.add_argument("--jit", action="store_true", help="compile with XLA")
    parser.add_argument("--peers", action="store_true", help="the published arithmetic, too")
    parser.add_argument("--parts_at_once", type=int, default=1, help="see the trainer's flag")
    parser.add_argument("--repeats", type=int, default=9, help="steps of a round")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(timing.alone(timing.machine))
    with tempfile.TemporaryDirectory() as folder:
        speed(corpus(folder, options.text), options)


if __name__ == "__main__":
    main()
