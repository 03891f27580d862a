"""The value of `--mixing_implementation=auto` on a GPU: FFT or matrix products, by trial.

For CPUs and TPUs the layers know, see `Mixing.fft_is_faster`.
"""

import dataclasses
from collections.abc import Callable

from sparse_mixer_tf.architecture import parse
from sparse_mixer_tf.autotune.timing import TOKENS, fastest, seconds_of
from sparse_mixer_tf.models.sparse_mixer.backbone import MIXING
from sparse_mixer_tf.settings import ModelSettings

WAYS = ("fft", "matmul")
# Linear mixing knows one.
TWO_WAYS = "rhct"


def in_known_mixing(
    model: ModelSettings,
    seq: int,
    precision: str,
    device: str,
    total: Callable = float,
    say: Callable = print,
) -> ModelSettings:
    """The settings, with what `auto` comes to where only a trial can tell.

    Args:
        seq: tokens of a sequence.
        precision: dtype policy of the layers.
        device: `cpu`, `gpu` or `tpu`.
        total: adds up a number over all workers, so that all choose alike.
        say: is told the times.
    """
    letters = [letter for letter in parse(model.architecture).letters if letter in TWO_WAYS]
    if model.mixing_implementation != "auto" or device != "gpu" or not letters:
        return model

    def seconds(way: str) -> float:
        return sum(measure(letter, way, model.d_model, seq, precision) for letter in letters)

    way, (by_fft, by_matmul) = fastest(WAYS, seconds, total)
    say(
        f"--mixing_implementation=auto: mixing takes {by_fft:.3g} ms by FFT, {by_matmul:.3g} by "
        f"matrix products, so {way}"
    )
    return dataclasses.replace(model, mixing_implementation=way)


def measure(letter: str, way: str, d_model: int, seq: int, precision: str) -> float:
    """Seconds of a forward and backward pass through one mixing layer."""
    layer = MIXING[letter](implementation=way, dtype=precision, name="mixing")
    return seconds_of(layer, (max(1, TOKENS // seq), seq, d_model))
