"""From the compiler's figures to times and to lines for people.

A roofline time is how long a chip would take if it either multiplied at its peak or moved its
bytes at the full bandwidth of HBM, whichever is longer. It is made of the compiler's own model of
the program and of a data sheet; it is no measurement. The model's bytes are those that each op
reads and writes, be they in HBM or in the memory on the chip that the compiler copies them to and
from, so a time that they decide is too long rather than too short. What a gather costs beyond its
bytes is in no figure. The compiler's own estimate of seconds is not used: it comes out negative
where an op has no cost.
"""

from sparse_mixer_tf.tpu.chips import CHIPS, Chip, Topology
from sparse_mixer_tf.tpu.compiling import Compiled, Refused


def seconds(program: Compiled, chip: Chip) -> float:
    """The roofline time of a program on one chip."""
    return max(program.flops / chip.peak, program.bytes / chip.bandwidth)


def is_bound_by_memory(program: Compiled, chip: Chip) -> bool:
    """True if the time is bound by HBM and not by products."""
    return program.bytes / chip.bandwidth > program.flops / chip.peak


def table_head(topology: Topology) -> str:
    """Over lines of `table_line`."""
    times = "".join(f"{name:>12}" for name in CHIPS)
    fits = f"HBM of {topology.chip.memory / 2**30:.0f} GiB"
    return f"{'':34}{'rows':>6}{'GFLOP':>10}{'GB moved':>10}{fits:>19}{times}"


def table_line(name: str, rows: int, result: Compiled | Refused, topology: Topology) -> str:
    """One program: its figures, and for each chip milliseconds and what bounds them."""
    start = f"{name:34}{rows:>6}"
    if isinstance(result, Refused):
        what = {"memory": "does not fit", "dynamic": "has a dynamic shape"}.get(
            result.kind, "refused"
        )
        return f"{start}  {what}: {result.reason}"
    gib = result.memory / 2**30
    fits = f"{gib:.2f} {'fits' if result.memory <= topology.chip.memory else 'does not fit'}"
    times = "".join(_time(result, chip) for chip in CHIPS.values())
    return f"{start}{result.flops / 1e9:>10,.1f}{result.bytes / 1e9:>10,.2f}{fits:>19}{times}"


def _time(result: Compiled, chip: Chip) -> str:
    bound = "mem" if is_bound_by_memory(result, chip) else "mxu"
    return f"{1e3 * seconds(result, chip):>8.2f} {bound}"


def notes(topology: Topology, results: list, micro_batches: int) -> list[str]:
    """Return the notes that the table needs."""
    lines = [
        f"Compiled for {topology.chip.name}, one of {topology.chips} chips; what chips send each "
        "other is left out.",
        "Times in ms are rooflines of the compiler's figures, no measurement; mxu: at the peak of "
        "products, mem: at the bandwidth of HBM. Bytes are of each op, copies to memory on the "
        "chip included: rather too many than too few.",
    ]
    others = [name for name in CHIPS if name != topology.chip.name]
    lines.append(f"{' and '.join(others)}: the same program; their own compiler may find another.")
    if any(isinstance(result, Compiled) and result.loops for result in results):
        lines.append("Loops are counted for one turn each: what they repeat comes on top.")
    if micro_batches > 1:
        lines.append(f"Of the {micro_batches} micro-batches of a step two are counted.")
    return lines
