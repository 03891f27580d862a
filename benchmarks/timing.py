"""How the benchmarks time: in turn within one process, so that a slow moment meets all alike."""

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version

import tensorflow as tf


def in_turn(
    runs: Mapping[str, Callable[[], object]], repeats: int, warmup: int = 1
) -> dict[str, list[float]]:
    """Milliseconds of each call of each run, which alternate; a run returns when it is done."""
    times = {name: [] for name in runs}
    for number in range(warmup + repeats):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if number >= warmup:
                times[name].append(1e3 * (time.perf_counter() - start))
    return times


def medians(times: Mapping[str, list[float]]) -> dict[str, float]:
    """The median of each run."""
    return {name: statistics.median(values) for name, values in times.items()}


def matmul_gflops(dtype: str = "float32", shape=(4096, 512, 2048), repeats: int = 5) -> float:
    """What the machine reaches in one plain product [a, b] x [b, c], without XLA."""
    rows, inner, columns = shape
    x, y = tf.random.normal((rows, inner)), tf.random.normal((inner, columns))
    x, y = tf.cast(x, dtype), tf.cast(y, dtype)
    product = tf.function(tf.matmul)
    times = in_turn({"product": lambda: product(x, y)[0, 0].numpy()}, repeats, warmup=2)
    return 2e-6 * rows * inner * columns / medians(times)["product"]


def machine() -> str:
    """One line: processor, cores, versions, matmul rates."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("tensorflow", "keras"))
    rates = ", ".join(f"{dtype} {matmul_gflops(dtype):,.0f}" for dtype in ("float32", "bfloat16"))
    return (
        f"{_processor()}, {_cores()} cores, {packages}; plain matmul 4096 x 512 x 2048, "
        f"GFLOP/s: {rates}"
    )


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next(line.split(":")[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
