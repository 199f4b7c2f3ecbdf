import numpy as np
import paddle
import pytest

from ppose.models import KeyPointMSELoss


@pytest.mark.parametrize(("use_target_weight", "loss_scale"), [(True, 0.5), (False, 0.5), (True, 1.0)])
def test_loss_is_the_mean_over_keypoints_of_weighted_errors(use_target_weight, loss_scale):
    rng = np.random.default_rng(0)
    heatmaps, target = rng.normal(size=(2, 3, 4, 5, 6)).astype(np.float32)
    target_weight = np.array([[1, 0, 1, 0.5], [0, 0, 1, 1], [1, 1, 1, 2]], np.float32)[..., None]
    expected = 0.0
    for k in range(4):
        error = 0.0
        for n in range(3):
            weight = target_weight[n, k, 0] if use_target_weight else 1.0
            for y in range(5):
                for x in range(6):
                    error += (weight * heatmaps[n, k, y, x] - weight * target[n, k, y, x]) ** 2
        expected += loss_scale * error / (3 * 5 * 6) / 4

    criterion = KeyPointMSELoss(use_target_weight=use_target_weight, loss_scale=loss_scale)
    loss = criterion(*map(paddle.to_tensor, (heatmaps, target, target_weight)))

    assert loss.shape == []
    np.testing.assert_allclose(loss.item(), expected, rtol=1e-5)
