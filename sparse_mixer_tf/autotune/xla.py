"""The part of a step that XLA compiles, and the value of `--jit_compile=auto`.

XLA turns chains of elementwise operations into single passes over memory, and on a CPU it uses all
of its vector instructions, where TensorFlow's own kernels know those that every x86 CPU has. Its
matrix products do not use the CPU's matrix units (AMX); those of oneDNN do. `elementwise` takes the
better of both: XLA what lies between the products, oneDNN the products.
"""

from collections.abc import Callable

import tensorflow as tf

from sparse_mixer_tf.autotune.timing import fastest

NOTHING, ELEMENTWISE, ALL = "false", "elementwise", "true"
NAMES = {NOTHING: "graph", ELEMENTWISE: "elementwise by XLA", ALL: "XLA"}


def known_compilation(
    asked: str,
    device: str,
    measure: Callable[[str], float],
    can_compile: bool = True,
    total: Callable = float,
    say: Callable[[str], None] = print,
) -> str:
    """`false`, `elementwise` or `true`, by the time of a step where `auto` was asked for.

    Args:
        asked: as in `TrainingSettings.jit_compile`.
        device: `cpu`, `gpu` or `tpu`; a TPU's programs are compiled whatever is asked for.
        measure: way to the seconds of a step.
        can_compile: whether XLA can compile this step at all; if not, nothing is timed.
        total: adds up a number over all workers, so that all choose alike.
        say: is told the times.
    """
    if asked != "auto":
        return asked
    if device == "tpu" or not can_compile:
        return NOTHING
    ways = (NOTHING, ELEMENTWISE, ALL) if device == "cpu" else (NOTHING, ALL)
    way, milliseconds = fastest(ways, measure, total)
    times = ", ".join(f"{NAMES[w]} {ms:,.0f} ms" for w, ms in zip(ways, milliseconds, strict=True))
    say(f"--jit_compile=auto: {times} a step, so {way}")
    return way


def compiled(way: str, call: Callable) -> Callable:
    """The call, whose functions are compiled so; of `true` they know themselves.

    Which operations XLA may take on a CPU is said where the package is imported, by TF_XLA_FLAGS.
    A tf.data pipeline that the call begins is compiled too.
    """
    if way != ELEMENTWISE:
        return call

    def run(*arguments, **options):
        before = tf.config.optimizer.get_jit()
        tf.config.optimizer.set_jit("autoclustering")
        try:
            return call(*arguments, **options)
        finally:
            tf.config.optimizer.set_jit(before)

    return run
