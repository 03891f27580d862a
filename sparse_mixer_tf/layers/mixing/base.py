"""Parts that all mixing sublayers share: padding, sequence length, FFT or matrix products."""

import keras
from keras import ops

from sparse_mixer_tf.layers.tracing import device_kind


class Mixing(keras.layers.Layer):
    """A sublayer that mixes tokens by a linear map of the sequence.

    Padding is mixed like any token, as in the published models, unless `mask_padding`.

    A layer of this kind has `mix_by_matmul(x)`, [batch, seq, d_model] in and out in the compute
    dtype, and where there is an FFT for it `mix_by_fft(x)`, the same in float32.

    Args:
        implementation: `fft`, `matmul`, or `auto`: the faster one for the shape, see
            `fft_is_faster`. The numbers are the same.
        mask_padding: set padding to zero before mixing.

    Raises:
        ValueError: `implementation` is none of the three.
    """

    # From which size on (the larger of seq and hidden) `auto` takes the FFT; None: never.
    fft_from: int | None = None
    # Whether there are weights for each position, so that the length is fixed when building.
    fixed_length = True

    def __init__(self, implementation: str = "auto", mask_padding: bool = False, **kwargs):
        super().__init__(**kwargs)
        if implementation not in ("auto", "fft", "matmul"):
            raise ValueError(
                f"implementation={implementation!r} is unknown; use 'auto', 'fft' or 'matmul'"
            )
        self.implementation = implementation
        self.mask_padding = mask_padding

    def build(self, input_shape):
        seq, hidden = input_shape[-2:]
        if seq is None and self.fixed_length:
            raise ValueError(
                f"{self.name} mixes whole sequences and needs to know their length; "
                "build with a fixed length, [batch, seq, d_model]"
            )
        self.seq, self.hidden = seq, hidden
        self.uses_fft = self.implementation == "fft" or (
            self.implementation == "auto" and self.fft_is_faster(seq or 0, hidden, device_kind())
        )

    @classmethod
    def fft_is_faster(cls, seq: int, hidden: int, device: str = "cpu") -> bool:
        """Return whether `auto` takes the FFT for this shape on a kind of device.

        Measured on 2 CPU cores in float32, forward and backward, 4,096 tokens, FFT / matmul, graph
        (`benchmarks/mixing.py`; XLA puts the borders at the same sizes). GPUs were not measured and
        are taken for CPUs here; the trainer measures its own before it builds a model.

        | size | Fourier, Hartley | circulant | Toeplitz |
        |---|---|---|---|
        | 64 | 2.4 / 2.6 ms | 4.8 / 2.5 | 22 / 2.7 |
        | 128 | 3.9 / 7.3 | 9.9 / 5.9 | 48 / 5.9 |
        | 512 | 20 / 89 | 56 / 69 (XLA 61 / 72) | 222 / 69 |
        | 1,024 | 38 / 328 | 117 / 259 | 526 / 256 |

        A TPU is bound by what it moves, and its FFT moves more: by the TPU compiler's figures for
        v5e (`benchmarks/tpu_compile.py`, 512 x 768, bfloat16), Fourier mixing costs a training step
        3.4 ms by FFT and 1.0 by matmul, Hartley 3.7 and 1.0, circulant 10.4 and 3.7, Toeplitz 34.8
        and 3.7.

        Args:
            device: `cpu`, `gpu` or `tpu`.
        """
        if device == "tpu":
            return False
        return cls.fft_from is not None and max(seq, hidden) >= cls.fft_from

    def call(self, x, padding_mask=None, training=None):
        """Mixes tokens.

        Args:
            x: [batch, seq, d_model].
            padding_mask: bool [batch, seq], true on real tokens; used with `mask_padding` alone.
            training: makes no difference.

        Returns:
            [batch, seq, d_model].

        Raises:
            ValueError: the sequence is not as long as the one the layer was built for.
        """
        if self.fixed_length:
            x = self._with_known_length(x)
        if self.mask_padding and padding_mask is not None:
            x = x * ops.cast(padding_mask, x.dtype)[:, :, None]
        if self.uses_fft:
            return ops.cast(self.mix_by_fft(ops.cast(x, "float32")), x.dtype)
        return self.mix_by_matmul(x)

    def _with_known_length(self, x):
        if x.shape[1] is not None and x.shape[1] != self.seq:
            raise ValueError(
                f"{self.name} was built for sequences of {self.seq} tokens and got {x.shape[1]}; "
                f"pad or cut to {self.seq}, or build with --max_seq_length={x.shape[1]}"
            )
        # A reshape gives the length back where the caller's graph has lost it, and refuses another.
        return ops.reshape(x, (ops.shape(x)[0], self.seq, self.hidden))

    def compute_output_shape(self, x_shape, padding_mask_shape=None):
        return x_shape

    def get_config(self):
        return {
            **super().get_config(),
            "implementation": self.implementation,
            "mask_padding": self.mask_padding,
        }
