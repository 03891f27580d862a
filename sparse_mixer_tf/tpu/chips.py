"""The TPUs that can be compiled for, as their data sheets describe them."""

import math
import re
from typing import NamedTuple

from sparse_mixer_tf.settings import SettingsError


class Chip(NamedTuple):
    """One chip.

    Attributes:
        peak: FLOP/s of matrix products whose factors are bfloat16. No data sheet names a peak for
            float32: at XLA's default precision a float32 product is one bfloat16 pass with float32
            sums, so this is its peak too; at the highest precision it would be six passes.
        bandwidth: bytes/s of its HBM.
        memory: bytes of its HBM.
        dimensions: of the torus that its slices are.
    """

    name: str
    peak: float
    bandwidth: float
    memory: float
    dimensions: int


CHIPS = {
    chip.name: chip
    for chip in (
        # https://cloud.google.com/tpu/docs/v5e
        Chip("v5e", 197e12, 819e9, 16 * 2**30, 2),
        # https://cloud.google.com/tpu/docs/v5p
        Chip("v5p", 459e12, 2765e9, 95 * 2**30, 3),
        # https://cloud.google.com/tpu/docs/v6e
        Chip("v6e", 918e12, 1640e9, 32 * 2**30, 2),
    )
}
EXAMPLES = "v5e:2x2, v5p:2x2x1 or v6e:2x2"


class Topology(NamedTuple):
    """A slice of chips, all alike.

    Attributes:
        name: as the compiler knows it, `v5e:2x2`.
    """

    name: str
    chip: Chip
    chips: int


def parse_topology(text: str) -> Topology:
    """The slice of a text such as `v5e:2x2`.

    Raises:
        SettingsError: it names no chip that is known, or no shape.
    """
    found = re.fullmatch(r"(\w+):(\d+(?:x\d+)*)", text)
    if not found or found[1] not in CHIPS:
        raise SettingsError(f"--tpu_topology={text} is no TPU slice; use one such as {EXAMPLES}")
    chip, sizes = CHIPS[found[1]], [int(size) for size in found[2].split("x")]
    if len(sizes) != chip.dimensions or 0 in sizes:
        raise SettingsError(
            f"--tpu_topology={text}: a slice of {chip.name} has {chip.dimensions} sizes of 1 or "
            f"more; use one such as {EXAMPLES}"
        )
    return Topology(text, chip, math.prod(sizes))
