import numpy as np
import pytest
import tensorflow as tf

from sparse_mixer_tf.analysis.matrices import pooled, reach, sequence_matrices
from sparse_mixer_tf.models import SparseMixerBackbone


def test_every_learned_matrix_is_the_one_that_its_layer_mixes_by():
    backbone = SparseMixerBackbone(50, "lrcth", d_model=6, d_ff=8, max_sequence_length=5)
    matrices = sequence_matrices(backbone)
    assert list(matrices) == ["sublayer_00_l", "sublayer_02_c", "sublayer_03_t"]
    x = tf.random.stateless_normal((1, 5, 6), seed=(1, 2))
    for name, matrix in matrices.items():
        layer = backbone.get_layer(name).inner
        # With the features left as they are, only the sequence is mixed.
        shape = layer.hidden_kernel.shape
        one = np.eye(*shape) if len(shape) == 2 else np.eye(1, shape[0], shape[0] // 2)[0]
        one = np.eye(1, shape[0])[0] if name.endswith("c") else one
        layer.hidden_kernel.assign(one)
        np.testing.assert_allclose(layer(x)[0], matrix @ x[0].numpy(), atol=1e-5)


def test_the_reach_is_the_mean_size_at_each_offset():
    matrix = np.zeros((4, 4))
    # Position 2 takes from position 3, one behind it; position 3 from position 0.
    matrix[2, 3], matrix[3, 0] = -6.0, 5.0
    np.testing.assert_allclose(reach(matrix), [5, 0, 0, 0, 2, 0, 0])


@pytest.mark.parametrize(("size", "largest", "tile"), [(4, 4, 1), (6, 3, 2), (7, 3, 3)])
def test_pooling_takes_means_and_says_of_how_many(size, largest, tile):
    matrix = np.arange(size * size, dtype="float32").reshape(size, size)
    small, found = pooled(matrix[None], largest)
    assert found == tile and small.shape == (1, *(2 * [-(-size // tile)]))
    assert small[0, 0, 0] == matrix[:tile, :tile].mean()
    last = (size - 1) // tile * tile
    assert small[0, -1, -1] == pytest.approx(matrix[last:, last:].mean(), rel=1e-3)
