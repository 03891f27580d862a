"""Timing in turn within one process, so that a slow moment meets all contestants alike."""

import multiprocessing
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from pathlib import Path

import keras
from keras import ops

from benchmarks import steps
from sparse_mixer_tf.layers.tracing import cores, device_kind

# The product whose rate stands for a device's.
PRODUCTS = {"cpu": (4096, 512, 2048), "gpu": (8192, 8192, 8192), "tpu": (8192, 8192, 8192)}


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


def matmul_gflops(dtype: str = "float32", repeats: int = 5) -> float:
    """Return the rate of one plain product [a, b] x [b, c], without XLA on TensorFlow."""
    rows, inner, columns = PRODUCTS[device_kind()]
    x, y = keras.random.normal((rows, inner)), keras.random.normal((inner, columns))
    x, y = ops.cast(x, dtype), ops.cast(y, dtype)
    product = steps.compiled(ops.matmul)
    times = in_turn({"product": lambda: product(x, y)}, repeats, warmup=2)
    return 2e-6 * rows * inner * columns / medians(times)["product"]


def alone(function: Callable, *arguments):
    """Return the function's result from a process of its own, whose memory is free afterwards."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(function, *arguments).result()


def peak_memory_mib() -> float:
    """The most memory that this process has held, where Linux says it."""
    # `ru_maxrss` would begin with the memory of the process that started this one.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split("VmHWM:")[1].split()[0]) / 2**10


def machine() -> str:
    """One line: processor, cores, versions, matmul rates."""
    packages = ", ".join(f"{name} {version(name)}" for name in (keras.backend.backend(), "keras"))
    rates = ", ".join(f"{dtype} {matmul_gflops(dtype):,.0f}" for dtype in ("float32", "bfloat16"))
    shape = " x ".join(str(size) for size in PRODUCTS[device_kind()])
    return (
        f"{steps.accelerator() or _processor()}, {cores()} cores, {packages}; "
        f"plain matmul {shape}, GFLOP/s: {rates}"
    )


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next(line.split(":")[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
