"""Parts of a batch computed at once, each on its share of a CPU's cores.

Within one operation, cores wait for one another, and small operations keep one core busy only. Each
with a part of the batch, they meet where the gradients are added up.
"""

import dataclasses
from collections.abc import Callable

import tensorflow as tf

from sparse_mixer_tf.layers.tracing import cores
from sparse_mixer_tf.settings import RunSettings, SettingsError


def share_out_cores(parts: int) -> None:
    """Runs as many operations at a time as there are parts, each on its share of the cores.

    Must be called before TensorFlow touches a device.

    Args:
        parts: that are computed at once; 1 leaves everything as it is.

    Raises:
        SettingsError: it comes too late.
    """
    if parts == 1:
        return
    threads = tf.config.threading
    try:
        threads.set_inter_op_parallelism_threads(parts)
        threads.set_intra_op_parallelism_threads(max(1, cores() // parts))
    except RuntimeError:
        if threads.get_inter_op_parallelism_threads() != parts:
            raise SettingsError(
                f"--parts_at_once={parts} comes too late: TensorFlow already shares its threads "
                "out otherwise; start a new process"
            ) from None


def in_parts_that_fit(
    settings: RunSettings, device: str, say: Callable[[str], None] = print
) -> RunSettings:
    """The same settings on a CPU; elsewhere, with no cores to share out, the batch stays whole.

    Args:
        settings: as asked for.
        device: `cpu`, `gpu` or `tpu`.
        say: told where the batch stays whole all the same.
    """
    parts = settings.parts_at_once
    if parts == 1 or device == "cpu":
        return settings
    say(f"--parts_at_once={parts} shares out a CPU's cores; on this {device} the batch stays whole")
    return dataclasses.replace(settings, parts_at_once=1)


def check_parts_at_once(parts: int, jit_compile: str, expert_parallel: int) -> None:
    """Checks that parts of a batch can be computed at once.

    Args:
        parts: asked for.
        jit_compile: as in `TrainingSettings`.
        expert_parallel: as in `RunSettings`.

    Raises:
        SettingsError: they cannot, or nothing would be gained.
    """
    if parts == 1:
        return
    asked = f"--parts_at_once={parts}"
    if jit_compile == "true":
        raise SettingsError(
            f"{asked} does not fit --jit_compile=true: XLA computes one operation at a time; "
            "leave one of them out"
        )
    if expert_parallel > 1:
        raise SettingsError(
            f"{asked} does not fit --expert_parallel={expert_parallel}, whose replicas exchange "
            "tokens in one order; leave one of them out"
        )
