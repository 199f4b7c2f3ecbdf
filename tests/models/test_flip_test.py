import numpy as np
import paddle
import pytest

from ppose.models import flip_test

PAIRS = ((1, 2), (4, 3))


def _heatmaps(images):
    """A network that is not symmetric: (N, 3, 8, 12) -> (N, 5, 2, 3), in numpy."""
    n = len(images)
    weight = np.random.default_rng(3).normal(size=(5, 3, 4, 4)).astype(np.float32)
    blocks = images.reshape(n, 3, 2, 4, 3, 4)
    return np.einsum("ncyixj,kcij->nkyx", blocks, weight)


@pytest.mark.parametrize("shift", [False, True])
def test_mean_of_plain_and_mirrored_heatmaps(shift):
    images = np.random.default_rng(2).normal(size=(2, 3, 8, 12)).astype(np.float32)
    batches = []

    def model(batch):
        batches.append(batch.shape[0])
        return paddle.to_tensor(_heatmaps(batch.numpy()))

    given = paddle.to_tensor(images)
    averaged = flip_test(model, given, PAIRS, shift)

    plain, mirrored = _heatmaps(images), _heatmaps(images[:, :, :, ::-1])
    partner = {0: 0, 1: 2, 2: 1, 3: 4, 4: 3}
    expected = np.empty_like(plain)
    for n in range(2):
        for k in range(5):
            for y in range(2):
                for x in range(3):
                    source = max(x - 1, 0) if shift else x
                    expected[n, k, y, x] = (plain[n, k, y, x] + mirrored[n, partner[k], y, 2 - source]) / 2
    np.testing.assert_allclose(averaged.numpy(), expected, rtol=1e-5, atol=1e-6)
    assert batches == [4]  # one pass
    np.testing.assert_array_equal(given.numpy(), images)


def test_a_set_without_pairs():
    images = paddle.ones([1, 3, 8, 12])
    averaged = flip_test(lambda batch: batch[..., ::4, ::4], images, (), False)
    np.testing.assert_array_equal(averaged.numpy(), np.ones((1, 3, 2, 3)))
