"""Large matrices, made small enough for a picture."""

import numpy as np

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
