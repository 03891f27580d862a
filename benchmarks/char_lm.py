"""How fast and how well a Brainformer learns to write, beside the published code.

    python -m benchmarks.char_lm [--parts_at_once 2] [--jit] [--peers]   training tokens per second
    python -m benchmarks.char_lm --curve [--text FILE] [--optimizer adam] [--peers]   bits per byte

The published code's figures stand in `ORIGINAL`: PyTorch 2.13 on two idle CPU cores of another
machine. With --peers its arithmetic runs on this one: a process for each of a few rounds, ours and
the peer's in turn, as one step behind the other's would find its caches and threads in disorder.
With --curve it learns from the same bytes, none of them twice, so that its training bits can be
held against ours.
"""

import argparse
import math
import statistics
import sysconfig
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import tensorflow as tf

from benchmarks import timing
from pipelines.settings import DataSettings
from sparse_mixer_tf.optimizers import WarmupDecay, make_optimizer
from sparse_mixer_tf.settings import ModelSettings, TrainingSettings
from sparse_mixer_tf.tasks import TASKS
from sparse_mixer_tf.training.cores import share_out_cores
from sparse_mixer_tf.training.evaluation import evaluation_sums
from sparse_mixer_tf.training.memory import carried_memory
from sparse_mixer_tf.training.step import EvaluationStep, TrainStep

ARCHITECTURE, D_FF = "sgfgfg.sgfgfg", 256


@dataclass(frozen=True)
class Configuration:
    """Sizes of a run with shared block weights."""

    d_model: int
    num_heads: int
    block_size: int
    attn_span: int
    batch_size: int
    adapt_span: bool


# Training tokens per second of the published code.
ORIGINAL = {
    Configuration(128, 4, 256, 512, 4, False): 7_480,
    Configuration(128, 4, 256, 512, 4, True): 10_700,
    Configuration(256, 8, 512, 1024, 8, False): 1_706,
    Configuration(256, 8, 512, 1024, 8, True): 5_025,
}
# The published code's, and that of configs/brainformer_quickstart.flags.
RATES = {"adagrad": 0.07, "adam": 2e-3}
CURVE = Configuration(128, 4, 128, 256, 16, False)
# Bits per character that it was seen to reach on held-out text after 100, 200, … steps.
ORIGINAL_CURVE = (3.295, 2.662, 2.861, 2.519, 2.482, 2.452, 2.470)
# For validation, and as much again for the test.
HELD_OUT = 0.05
# Steps until memory and threads have settled.
WARMUP = 10
_CORPUS_BYTES = 2_200_000


class Run:
    """A model and its training step on a text of bytes."""

    def __init__(
        self,
        sizes: Configuration,
        text: Path,
        jit: bool,
        dropout_rate: float = 0.0,
        parts_at_once: int = 1,
        optimizer: str = "adagrad",
    ):
        keras.utils.set_random_seed(1)
        model = ModelSettings(
            architecture=ARCHITECTURE,
            share_block_weights=True,
            d_model=sizes.d_model,
            d_ff=D_FF,
            num_heads=sizes.num_heads,
            attn_span=sizes.attn_span,
            adapt_span=sizes.adapt_span,
            adapt_span_loss=_span_loss(sizes),
            dropout_rate=dropout_rate,
            num_experts=16,
            router="dropless",
            gate="top_k",
            num_selected_experts=2,
            balance_loss_factor=0.0,
            router_z_loss_factor=0.0,
            activation="relu",
            initializer="torch",
        )
        training = TrainingSettings(
            task="causal_lm",
            train_batch_size=sizes.batch_size,
            eval_batch_size=sizes.batch_size,
            train_steps=10**6,
            warmup_steps=0,
            seed=1,
        )
        data = DataSettings(
            dataset=str(text),
            cache_dir=str(text.parent / "cache"),
            tokenizer="byte",
            block_size=sizes.block_size,
            validation_fraction=HELD_OUT,
        )
        self.tokens = sizes.batch_size * sizes.block_size
        self.task = TASKS["causal_lm"](model, training, data)
        self.task.open_data()
        self.task.build()
        rate = WarmupDecay(RATES[optimizer], 0, 10**6, "constant")
        optimizer = make_optimizer(optimizer, rate, max_tensor_norm=0.03)
        optimizer.build(self.task.model.trainable_variables)
        self.task.static_choices(0)
        strategy = tf.distribute.get_strategy()
        self._train = TrainStep(
            self.task,
            self.task.model.trainable_variables,
            optimizer,
            strategy,
            parts_at_once=parts_at_once,
            jit_compile=jit,
            memory=carried_memory(self.task.initial_memory, sizes.batch_size, strategy),
        )
        self._evaluate = EvaluationStep(
            self.task.evaluation_sums, strategy, jit, self.task.initial_memory
        )
        self._batches, self._step = iter(self.task.train_stream(0)), 0

    def train(self) -> float:
        """One update; its loss in bits per character."""
        loss = self._train(next(self._batches), self._step)["next_loss"].numpy()
        self._step += 1
        return float(loss) / math.log(2)

    def held_out(self) -> float:
        """Bits per character on the whole held-out text."""
        sums = evaluation_sums(self.task.evaluation_stream(None), self._evaluate)
        return float(sums["tokens"]["loss"] / sums["tokens"]["count"]) / math.log(2)


def _span_loss(sizes: Configuration) -> float:
    return 5e-7 if sizes.adapt_span else 0.0


def python_sources(path: Path) -> None:
    """The sources of this Python's standard library, in the order of their names, up to 2.2 MB."""
    folder, written = Path(sysconfig.get_path("stdlib")), 0
    with path.open("w", encoding="utf-8") as out:
        for source in sorted(folder.glob("*.py")):
            text = source.read_text("utf-8", errors="replace")[: _CORPUS_BYTES - written]
            written += out.write(text + "\n\n")
            if written >= _CORPUS_BYTES:
                return


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
    run = Run(sizes, text, options.jit, options.dropout_rate, options.parts_at_once)
    return timing.in_turn({"ours": run.train}, options.repeats, warmup=WARMUP)["ours"]


def _peer_times(sizes: Configuration, text: Path, options: argparse.Namespace) -> list[float]:
    """Those of the published arithmetic at these sizes, its experts and spans as they start."""
    train = _peer(sizes, text.read_bytes(), "adagrad")
    return timing.in_turn({"peer": train}, options.repeats, warmup=WARMUP)["peer"]


def _peer(sizes: Configuration, text: bytes, optimizer: str) -> Callable[[], float]:
    """A training step of the published arithmetic."""
    import torch

    from benchmarks import brainformer_in_torch as peer

    torch.manual_seed(1)
    model = peer.Brainformer(
        ARCHITECTURE, 256, sizes.d_model, D_FF, sizes.num_heads, sizes.attn_span, sizes.adapt_span
    )
    return peer.training_of(
        model,
        text,
        sizes.batch_size,
        sizes.block_size,
        _span_loss(sizes),
        RATES["adam"] if optimizer == "adam" else None,
    )


def curve(text: Path, options: argparse.Namespace) -> None:
    run = Run(
        CURVE, text, options.jit, options.dropout_rate, options.parts_at_once, options.optimizer
    )
    everything = text.read_bytes()
    seen = everything[: round(len(everything) * (1 - 2 * HELD_OUT))]
    peer = _peer(CURVE, seen, options.optimizer) if options.peers else None
    columns = ("training", "held out", "original", *(("peer",) if peer else ()))
    print("steps", *(f"{column:>8}" for column in columns))
    for number, original in enumerate(ORIGINAL_CURVE, 1):
        bits = [_mean_of_100(run.train), run.held_out(), original]
        if peer:
            bits.append(_mean_of_100(peer) / math.log(2))
        print(f"{100 * number:>5}", *(f"{value:>8.3f}" for value in bits), flush=True)


def _mean_of_100(train: Callable[[], float]) -> float:
    return statistics.mean(train() for _ in range(100))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--curve", action="store_true", help="learn for 700 steps")
    parser.add_argument("--text", type=Path, help="a text file; by default Python's own sources")
    parser.add_argument("--dropout_rate", type=float, default=0.0)
    parser.add_argument("--jit", action="store_true", help="compile with XLA")
    parser.add_argument("--peers", action="store_true", help="the published arithmetic, too")
    parser.add_argument("--parts_at_once", type=int, default=1, help="see the trainer's flag")
    parser.add_argument("--optimizer", choices=RATES, default="adagrad", help="of the curve")
    parser.add_argument("--repeats", type=int, default=9, help="steps of a round")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(timing.alone(timing.machine))
    if options.curve:
        share_out_cores(options.parts_at_once)
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "sources.txt"
        if options.text:
            text.write_bytes(options.text.read_bytes())
        else:
            python_sources(text)
        (curve if options.curve else speed)(text, options)


if __name__ == "__main__":
    main()
