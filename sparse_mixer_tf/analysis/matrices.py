"""The matrices by which mixing sublayers have learned to mix the sequence.

Large matrices, made small enough for a picture.
"""

import numpy as np
from keras import ops

from sparse_mixer_tf.layers import CirculantMixing, LinearMixing, ToeplitzMixing
from sparse_mixer_tf.layers.mixing.transforms import circulant_matrix, toeplitz_matrix


def sequence_matrices(backbone) -> dict[str, np.ndarray]:
    """By name of the sublayer, in order: row i says what position i takes from each position.

    Returns:
        float32 [seq, seq] each; Fourier and Hartley mixing have learned nothing and are left out.
    """
    found = {}
    for sublayer in backbone.sublayers:
        matrix = _matrix(sublayer.inner)
        if matrix is not None:
            found[sublayer.name] = ops.convert_to_numpy(ops.cast(matrix, "float32"))
    return found


def reach(matrix: np.ndarray) -> np.ndarray:
    """Mean size of the weights at each offset, float32 [2 seq - 1].

    Offset 0, the position itself, is in the middle; before it what a position takes from earlier
    ones, behind it what it takes from later ones.
    """
    seq = len(matrix)
    offset = (np.arange(seq) - np.arange(seq)[:, None] + seq - 1).ravel()
    sums = np.bincount(offset, np.abs(matrix).ravel(), 2 * seq - 1)
    return (sums / np.bincount(offset, minlength=2 * seq - 1)).astype(np.float32)


def _matrix(layer):
    if isinstance(layer, LinearMixing):
        return ops.convert_to_tensor(layer.input_kernel)
    if isinstance(layer, CirculantMixing):
        return circulant_matrix(ops.convert_to_tensor(layer.input_kernel))
    if isinstance(layer, ToeplitzMixing):
        return toeplitz_matrix(ops.convert_to_tensor(layer.input_kernel))
    return None


LARGEST = 128


def pooled(matrix: np.ndarray, largest: int = LARGEST) -> tuple[np.ndarray, int]:
    """Means over square tiles, so that no side is longer than `largest`.

    Args:
        matrix: [..., rows, columns].

    Returns:
        float16 [..., fewer rows, fewer columns], and the side of a tile, 1 where nothing was done.
        A last tile that is not full is the mean of what there is.
    """
    matrix = np.asarray(matrix, np.float32)
    tile = -(-max(matrix.shape[-2:]) // largest)
    for axis in (-2, -1):
        size = matrix.shape[axis]
        starts = np.arange(0, size, tile)
        widths = np.minimum(tile, size - starts)
        shape = [1] * matrix.ndim
        shape[axis] = -1
        matrix = np.add.reduceat(matrix, starts, axis=axis) / widths.reshape(shape)
    return matrix.astype(np.float16), tile
