"""Time of a training step by part, with 1, 2 and 4 replicas of one global batch.

    python -m benchmarks.scaling [--replicas 1 2 4] [--steps 20] [--batch_size 32] [--jit]

Replicas are GPUs where there are enough of them, else virtual devices of one CPU: these share its
cores, so the step grows no faster there and what the figures show is the cost of cutting it up.
Each number of replicas runs in a process of its own. The all-reduce is timed by itself, on tensors
of the gradients' shapes; in a step some of it hides behind the computation.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import tensorflow as tf

from pipelines.settings import DataSettings
from sparse_mixer_tf.settings import ModelSettings, TrainingSettings
from sparse_mixer_tf.tasks import TASKS
from sparse_mixer_tf.training.distributed.strategy import make_strategy, mirrored
from sparse_mixer_tf.training.optimizers import adamw
from sparse_mixer_tf.training.train_step import TrainStep

_SEQ_LENGTH = 128


def made_up_text(path: Path) -> None:
    """Sentences of random words."""
    draw = random.Random(0)
    words = [
        "".join(draw.choices("abcdefghijklmnoprstu", k=draw.randint(2, 8))) for _ in range(900)
    ]
    documents = (
        "\n".join(" ".join(draw.choices(words, k=12)).capitalize() + "." for _ in range(30))
        for _ in range(300)
    )
    path.write_text("\n\n".join(documents))


def strategy_of(replicas: int) -> tf.distribute.Strategy:
    """GPUs, or virtual devices where there are too few."""
    if replicas == 1:
        return make_strategy("one_device")
    gpus = tf.config.list_physical_devices("GPU")
    if len(gpus) >= replicas:
        return mirrored(tuple(f"GPU:{index}" for index in range(replicas)))
    return make_strategy("mirrored", virtual_devices=replicas)


def measure(replicas: int, text: Path, options: argparse.Namespace) -> dict[str, float]:
    """Milliseconds: of a step, of waiting for its batch, of an all-reduce of its gradients."""
    strategy = strategy_of(replicas)
    model = ModelSettings(architecture="2*(lgsf)", d_model=128, d_ff=512, num_heads=4)
    training = TrainingSettings(train_batch_size=options.batch_size)
    data = DataSettings(
        dataset=str(text),
        cache_dir=str(text.parent / "cache"),
        vocab_size=500,
        max_seq_length=_SEQ_LENGTH,
    )
    task = TASKS["pretrain"](model, training, data)
    task.open_data()
    with strategy.scope():
        task.build()
        optimizer = adamw(1e-4)
        optimizer.build(task.model.trainable_variables)
    step = TrainStep(
        task, task.model.trainable_variables, optimizer, strategy, jit_compile=options.jit
    )
    batches = iter(strategy.experimental_distribute_dataset(task.train_stream(0)))
    waits, steps = [], []
    for number in range(options.steps + 2):
        start = time.perf_counter()
        batch = next(batches)
        ready = time.perf_counter()
        step(batch, number)["loss"].numpy()
        waits.append(ready - start)
        steps.append(time.perf_counter() - start)
    return {
        "step": 1e3 * statistics.median(steps[2:]),
        "input wait": 1e3 * statistics.median(waits[2:]),
        "all-reduce": all_reduce_milliseconds(strategy, task.model, options.steps),
    }


def all_reduce_milliseconds(strategy: tf.distribute.Strategy, model, repeats: int) -> float:
    """The sum over replicas of one tensor for each trainable variable."""
    shapes = [tuple(variable.shape) for variable in model.trainable_variables]

    def reduced(value):
        tensors = [tf.fill(shape, value) for shape in shapes]
        added = tf.distribute.get_replica_context().all_reduce("SUM", tensors)
        return tf.add_n([tensor[(0,) * len(tensor.shape)] for tensor in added])

    run = tf.function(lambda value: strategy.run(reduced, (value,)), autograph=False)
    seconds = []
    for number in range(repeats + 2):
        start = time.perf_counter()
        strategy.experimental_local_results(run(tf.constant(float(number))))[0].numpy()
        seconds.append(time.perf_counter() - start)
    return 1e3 * statistics.median(seconds[2:])


def in_own_process(replicas: int, text: Path) -> dict[str, float]:
    """`measure` where TensorFlow has not yet looked at its devices."""
    arguments = [*sys.argv[1:], f"--only={replicas}", f"--text={text}"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.scaling", *arguments],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2"},
    )
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicas", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--jit", action="store_true")
    parser.add_argument("--only", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--text", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        print(json.dumps(measure(options.only, options.text, options)))
        return
    print(f"batch of {options.batch_size} x {_SEQ_LENGTH} tokens, milliseconds, medians")
    print(f"{'replicas':>8} {'step':>9} {'all-reduce':>11} {'input wait':>11} {'speed':>7}")
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "text.txt"
        made_up_text(text)
        first = None
        for replicas in options.replicas:
            figures = in_own_process(replicas, text)
            first = first or figures["step"]
            print(
                f"{replicas:>8} {figures['step']:>9.1f} {figures['all-reduce']:>11.1f} "
                f"{figures['input wait']:>11.2f} {first / figures['step']:>6.2f}x",
                flush=True,
            )


if __name__ == "__main__":
    main()
