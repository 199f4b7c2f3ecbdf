import numpy as np
import paddle
import pytest
from paddle import nn

from ppose.engine.folded_norms import find_folded_norms, unfold_norms
from ppose.models import HRNet, LiteHRNet


def fill(model, seed=0):
    """Weights of some size, and norms that scale and shift but have no statistics: folded ones."""
    rng = np.random.default_rng(seed)
    for name, tensor in model.state_dict().items():
        if tensor.ndim > 1:
            size = np.sqrt(1.6 / np.prod(tensor.shape[1:]))
            tensor.set_value((rng.normal(size=tensor.shape) * size).astype(np.float32))
        elif not name.endswith(("_mean", "_variance")):
            center = 1.0 if name.endswith("weight") else 0.0
            tensor.set_value((center + 0.1 * rng.normal(size=tensor.shape)).astype(np.float32))


def draw_images(batches=3, batch=4):
    rng = np.random.default_rng(1)
    return [
        paddle.to_tensor(rng.normal(0.5, 1, (batch, 3, 64, 64)).astype(np.float32)) for _ in range(batches)
    ]


@pytest.mark.parametrize("make", [lambda: LiteHRNet("lite_8"), lambda: HRNet(width=4)])
def test_unfolding_keeps_the_function_and_makes_it_trainable(make):
    model = make()
    fill(model)
    images = draw_images()
    model.eval()
    before = model(images[0])[0].numpy()
    assert np.isfinite(before).all()
    assert np.abs(before).max() > 1e-3
    norms = find_folded_norms(model)
    assert len(norms) == sum(isinstance(layer, nn.BatchNorm2D) for layer in model.sublayers())
    unfold_norms(model, norms, images)
    assert not model.training
    after = model(images[0])[0].numpy()
    assert np.linalg.norm(after - before) <= 1e-3 * np.linalg.norm(before)
    assert find_folded_norms(model) == []
    # In training a batch is normalised by its own statistics, which are now near those it was measured with.
    model.train()
    together = paddle.concat(images)
    trained = model(together)[0].numpy()[:4]
    assert np.linalg.norm(trained - before) <= 0.05 * np.linalg.norm(before)


def test_statistics_are_those_of_all_images():
    norm = nn.BatchNorm2D(3)
    norm.weight.set_value(np.array([1.0, 2.0, 3.0], np.float32))
    images = draw_images()
    unfold_norms(norm, [norm], images)
    everything = np.concatenate([image.numpy() for image in images])
    np.testing.assert_allclose(norm._mean.numpy(), everything.mean(axis=(0, 2, 3)), atol=1e-5)
    np.testing.assert_allclose(norm._variance.numpy(), everything.var(axis=(0, 2, 3)), rtol=1e-5)


def test_other_norms_are_left_alone():
    model = LiteHRNet("lite_8")
    fill(model)
    layer = next(layer for layer in model.sublayers() if isinstance(layer, nn.BatchNorm2D))
    layer._mean.set_value(np.full(layer._mean.shape, 0.5, np.float32))
    assert find_folded_norms(model) == []
    assert find_folded_norms(LiteHRNet("lite_8", freeze_norm=True)) == []
