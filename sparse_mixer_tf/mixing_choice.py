"""What `--mixing_implementation=auto` comes to on a GPU: FFT or matrix products, by trial.

For CPUs and TPUs the layers know, see `Mixing.fft_is_faster`.
"""

import dataclasses
from collections.abc import Callable

from sparse_mixer_tf.architecture import parse
from sparse_mixer_tf.models.backbone import MIXING
from sparse_mixer_tf.settings import ModelSettings
from sparse_mixer_tf.trial import seconds_of

WAYS = ("fft", "matmul")
_TOKENS = 4096


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
    letters = [letter for letter in parse(model.architecture).letters if letter in MIXING]
    # Linear mixing knows one way.
    letters = [letter for letter in letters if letter != "l"]
    if model.mixing_implementation != "auto" or device != "gpu" or not letters:
        return model
    seconds = [
        total(sum(measure(letter, way, model.d_model, seq, precision) for letter in letters))
        for way in WAYS
    ]
    fastest = min(zip(seconds, WAYS, strict=True))[1]
    by_fft, by_matmul = (1e3 * value for value in seconds)
    say(
        f"--mixing_implementation=auto: mixing takes {by_fft:.3g} ms by FFT, {by_matmul:.3g} by "
        f"matrix products, so {fastest}"
    )
    return dataclasses.replace(model, mixing_implementation=fastest)


def measure(letter: str, way: str, d_model: int, seq: int, precision: str) -> float:
    """Seconds of a forward and backward pass through one mixing layer."""
    layer = MIXING[letter](implementation=way, dtype=precision, name="mixing")
    return seconds_of(layer, (max(1, _TOKENS // seq), seq, d_model))
