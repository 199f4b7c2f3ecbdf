"""Matrix products in place of bilinear upsampling."""

import numpy as np
import paddle
import pytest
from paddle import nn

from ppose.export.upsample import MatrixUpsample, interpolation_matrix, use_matrix_upsampling


@pytest.mark.parametrize("shape", [(2, 3, 6, 5), (1, 2, 1, 4)])
def test_is_bilinear_upsampling_with_its_corners_kept(shape):
    """Against a loop: output i lies at i (n - 1) / (2n - 1) between two inputs."""
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    got = MatrixUpsample(shape[2:])(paddle.to_tensor(x)).numpy()
    h, w = shape[2:]
    for i in range(2 * h):
        for j in range(2 * w):
            y, z = i * (h - 1) / (2 * h - 1), j * (w - 1) / (2 * w - 1)
            top, left = int(y), int(z)
            below, right = min(top + 1, h - 1), min(left + 1, w - 1)
            p, q = y - top, z - left
            expected = (1 - p) * ((1 - q) * x[..., top, left] + q * x[..., top, right])
            expected += p * ((1 - q) * x[..., below, left] + q * x[..., below, right])
            np.testing.assert_allclose(got[..., i, j], expected, atol=1e-5)


def test_rows_of_the_matrix_are_weights():
    matrix = interpolation_matrix(7)
    assert matrix.shape == (14, 7)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-6)
    assert matrix[0, 0] == matrix[-1, -1] == 1


def test_replaces_this_upsampling_only():
    """Also where one layer doubles maps of several sizes, as in Lite-HRNet's head."""
    kept = nn.Upsample(scale_factor=2, mode="nearest")
    twice = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)

    class Network(nn.Sequential):
        def forward(self, x):
            return self[1](self[1](self[0](x)))

    network = Network(kept, twice)
    image = paddle.randn([1, 3, 8, 6])
    expected = network(image).numpy()
    use_matrix_upsampling(network, (6, 8))
    assert network[0] is kept
    assert isinstance(network[1], MatrixUpsample)
    np.testing.assert_allclose(network(image).numpy(), expected, atol=1e-5)
