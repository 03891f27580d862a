"""Pure maths of the mixing sublayers: Fourier, circulant and Toeplitz products.

Each product exists twice, by FFT and by matrices, and both give the same numbers. The FFTs take
and return float32, for no backend has one in bfloat16; the matrix products keep the dtype of `x`.
"""

import numpy as np
from keras import ops

from sparse_mixer_tf.layers.custom_gradients import linear_map


def dft_parts(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Cosines and sines of the unnormalised discrete Fourier transform.

    The DFT matrix is cosines - i sines; both parts are symmetric.

    Returns:
        Two float32 [size, size].
    """
    # The product is reduced modulo size in integers: a cosine of a large angle is inexact.
    turns = np.outer(np.arange(size), np.arange(size)) % size / size
    return (
        np.cos(2 * np.pi * turns).astype("float32"),
        np.sin(2 * np.pi * turns).astype("float32"),
    )


def fourier_fft(x):
    """The real part of the 2-D DFT of real `x` over its last two axes.

    The product is linear and symmetric, so it is its own gradient.

    Args:
        x: float32 [batch, seq, hidden].

    Returns:
        float32 [batch, seq, hidden].
    """

    def transform(x):
        real, _ = _half_spectrum(x)
        return _whole_plane(real, real, x.shape[-1])

    return linear_map(transform, transform, x)


def hartley_fft(x):
    """Real minus imaginary part of the 2-D DFT; otherwise as `fourier_fft`."""

    def transform(x):
        real, imaginary = _half_spectrum(x)
        return _whole_plane(real - imaginary, real + imaginary, x.shape[-1])

    return linear_map(transform, transform, x)


def fourier_matmul(x):
    """The real part of the 2-D DFT as matrix products: C x C - S x S; [..., seq, hidden]."""
    (cos_seq, sin_seq), (cos_hidden, sin_hidden) = _dft_constants(x)
    return two_sided_product(cos_seq, x, cos_hidden) - two_sided_product(sin_seq, x, sin_hidden)


def hartley_matmul(x):
    """Real minus imaginary part of the 2-D DFT as matrix products; [..., seq, hidden]."""
    (cos_seq, sin_seq), (cos_hidden, sin_hidden) = _dft_constants(x)
    return two_sided_product(cos_seq, x, cos_hidden + sin_hidden) + two_sided_product(
        sin_seq, x, cos_hidden - sin_hidden
    )


def circulant_matrix(vector):
    """The circulant matrix whose first column is `vector`.

    Args:
        vector: [n].

    Returns:
        [n, n], `matrix[i, j] = vector[(i - j) mod n]`.
    """
    size = vector.shape[0]
    index = np.arange(size)
    return _pick(vector, (index[:, None] - index[None, :]) % size)


def toeplitz_matrix(vector):
    """The Toeplitz matrix of `vector`, which runs from the lowest diagonal to the highest.

    Args:
        vector: [2 n - 1]; the middle is the main diagonal.

    Returns:
        [n, n], `matrix[i, j] = vector[n - 1 + j - i]`.
    """
    size = (vector.shape[0] + 1) // 2
    index = np.arange(size)
    return _pick(vector, size - 1 + index[None, :] - index[:, None])


def embed_toeplitz(vector):
    """The circulant vector [2 n] whose matrix has the Toeplitz matrix in its upper left corner.

    Entry n is never met by an input padded with n zeros; it repeats the diagonal, as published.
    """
    size = (vector.shape[0] + 1) // 2
    below = ops.flip(vector[:size], axis=0)
    above = ops.flip(vector[size:], axis=0)
    return ops.concatenate([below, vector[size - 1 : size], above], axis=0)


def circulant_fft(x, seq_vector, hidden_vector):
    """Circular convolution of `x` along its last two axes.

    Equals `circulant_matrix(seq_vector) x circulant_matrix(hidden_vector)^T`.

    Args:
        x: float32 [batch, seq, hidden].
        seq_vector: float32 [seq].
        hidden_vector: float32 [hidden].

    Returns:
        float32 [batch, seq, hidden].
    """
    kernel = seq_vector[:, None] * hidden_vector
    x_real, x_imag = ops.fft2((x, ops.zeros_like(x)))
    kernel_real, kernel_imag = ops.fft2((kernel, ops.zeros_like(kernel)))
    product = (
        x_real * kernel_real - x_imag * kernel_imag,
        x_real * kernel_imag + x_imag * kernel_real,
    )
    return ops.ifft2(product)[0]


def toeplitz_fft(x, seq_vector, hidden_vector):
    """`toeplitz_matrix(seq_vector) x toeplitz_matrix(hidden_vector)^T` by FFT.

    Args:
        x: float32 [batch, seq, hidden].
        seq_vector: float32 [2 seq - 1].
        hidden_vector: float32 [2 hidden - 1].

    Returns:
        float32 [batch, seq, hidden].
    """
    seq, hidden = x.shape[-2:]
    padded = ops.pad(x, [[0, 0], [0, seq], [0, hidden]])
    mixed = circulant_fft(padded, embed_toeplitz(seq_vector), embed_toeplitz(hidden_vector))
    return mixed[:, :seq, :hidden]


def two_sided_product(left, x, right):
    """left x right.

    Either order takes seq^2 hidden + seq hidden^2 multiplications an example, and as many
    milliseconds. With the batch moved beside `hidden` the left product would be a plain one: that
    costs transposes, and 19% more in training (batch 8, 512 x 512, 2 cores: 77 ms for 65; under
    XLA 70 for 74).

    Args:
        left: [seq, seq].
        x: [batch, seq, hidden].
        right: [hidden, hidden].

    Returns:
        [batch, seq, hidden].
    """
    return ops.matmul(left, ops.matmul(x, right))


def _pick(vector, index):
    """Entries of a vector; behind the reshape TensorFlow's gradient is dense, not of slices."""
    return ops.take(ops.reshape(vector, (-1,)), index, axis=0)


def _half_spectrum(x):
    """Real and imaginary part of the 2-D DFT up to the middle frequency of the last axis.

    Args:
        x: float32 [batch, seq, hidden].

    Returns:
        Two float32 [batch, hidden // 2 + 1, seq].
    """
    real, imaginary = ops.rfft(x)
    return ops.fft((ops.transpose(real, (0, 2, 1)), ops.transpose(imaginary, (0, 2, 1))))


def _whole_plane(half, mirrored, hidden: int):
    """Completes half a spectrum by its symmetry: DFT(-n, -k) is the conjugate of DFT(n, k).

    Args:
        half: float32 [batch, hidden // 2 + 1, seq], the values wanted at low frequencies.
        mirrored: the same shape, the values wanted at the frequencies opposite to those.
        hidden: number of frequencies of the whole.

    Returns:
        float32 [batch, seq, hidden].
    """
    upper = ops.flip(mirrored[:, 1 : (hidden + 1) // 2], axis=1)
    # Frequency 0 of the other axis is its own opposite; the others are reversed.
    upper = ops.concatenate([upper[:, :, :1], ops.flip(upper[:, :, 1:], axis=2)], axis=2)
    return ops.transpose(ops.concatenate([half, upper], axis=1), (0, 2, 1))


def _dft_constants(x):
    """Cosines and sines for the two last axes of `x`, in its dtype."""
    return [
        [ops.convert_to_tensor(part, dtype=x.dtype) for part in dft_parts(size)]
        if isinstance(size, int)
        else [ops.cast(part, x.dtype) for part in _dft_parts_of_unknown(size)]
        for size in ops.shape(x)[-2:]
    ]


def _dft_parts_of_unknown(size) -> tuple:
    """`dft_parts` of a size that is an int32 scalar."""
    index = ops.arange(size, dtype="int32")
    turns = ops.cast(index[:, None] * index % size, "float32") / ops.cast(size, "float32")
    return ops.cos(2 * np.pi * turns), ops.sin(2 * np.pi * turns)
