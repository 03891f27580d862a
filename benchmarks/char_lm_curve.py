"""Learning curve of a Brainformer over 700 steps against the published code: bits per byte.

    python -m benchmarks.char_lm_curve [--peers] [--optimizer adam] [--text FILE] [--seed 1]

Spans are learned; blocks of 128 bytes come from the same text in the same order, none of them
twice. With --peers the published arithmetic learns from them beside ours, with Adagrad as published
but for a warm-up that fits so few steps: without one, neither gets beyond the frequencies of single
bytes. The last column is what the published code was seen to reach on other Python sources, each
figure on 20 kB of held-out text, where the others are of 110 kB.
"""

import argparse
import math
import statistics
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks import timing
from benchmarks.brainformer_run import HELD_OUT, SPAN_LOSS, Configuration, Run, corpus, peer_of
from sparse_mixer_tf.training.distributed.cpu_partition import share_out_cores

SIZES = Configuration(128, 4, 128, 256, 16, True)
ORIGINAL = (3.295, 2.662, 2.861, 2.519, 2.482, 2.452, 2.470)
STEPS, EVERY, WARMUP = 700, 100, 50
# As published, and much as in configs/brainformer_quickstart.flags.
RECIPES = {
    "adagrad": (f"--warmup_steps={WARMUP}",),
    "adam": (
        "--optimizer=adam",
        "--learning_rate=3e-3",
        "--learning_rate_decay=linear",
        "--warmup_steps=20",
        f"--train_steps={STEPS}",
        "--max_gradient_norm=0.5",
    ),
}


def curve(text: Path, options: argparse.Namespace) -> None:
    recipe = RECIPES[options.optimizer]
    run = Run(SIZES, text, recipe, options.parts_at_once, options.jit, options.seed)
    ours = _points(run.train, run.held_out)
    peer = _peer(text.read_bytes(), options.seed) if options.peers else None
    columns = ("training", "held out", *(("peer's", "held out") if peer else ()), "original")
    print("steps", *(f"{column:>8}" for column in columns))
    for number, original in enumerate(ORIGINAL, 1):
        bits = [*next(ours), *(next(peer) if peer else ()), original]
        print(f"{EVERY * number:>5}", *(f"{value:>8.3f}" for value in bits), flush=True)


def _points(
    train: Callable[[], float], held_out: Callable[[], float]
) -> Iterator[tuple[float, float]]:
    """The mean over some steps and what is reached behind them, again and again."""
    while True:
        yield statistics.mean(train() for _ in range(EVERY)), held_out()


def _peer(text: bytes, seed: int) -> Iterator[tuple[float, float]]:
    """The points of the published arithmetic on the same parts of the text, in bits."""
    import torch

    from benchmarks import brainformer_in_torch as peer

    torch.manual_seed(seed)
    model = peer_of(SIZES)
    held_out = round(len(text) * HELD_OUT)
    seen, unseen = text[: -2 * held_out], text[-2 * held_out : -held_out]
    batch = SIZES.batch_size, SIZES.block_size
    losses = peer.training_of(model, seen, *batch, SPAN_LOSS, WARMUP)
    return _points(
        lambda: next(losses) / math.log(2),
        lambda: peer.held_out_loss(model, unseen, *batch) / math.log(2),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", type=Path, help="a text file; by default Python's own sources")
    parser.add_argument("--optimizer", choices=RECIPES, default="adagrad", help="of ours")
    parser.add_argument("--seed", type=int, default=1, help="of the first weights")
    parser.add_argument("--jit", action="store_true", help="compile with XLA")
    parser.add_argument("--peers", action="store_true", help="the published arithmetic, too")
    parser.add_argument("--parts_at_once", type=int, default=1, help="see the trainer's flag")
    options = parser.parse_args()
    print(timing.alone(timing.machine))
    share_out_cores(options.parts_at_once)
    with tempfile.TemporaryDirectory() as folder:
        curve(corpus(folder, options.text), options)


if __name__ == "__main__":
    main()
