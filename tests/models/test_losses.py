"""Losses against loops over every pixel, and their gradients against finite differences."""

import math
from pathlib import Path

import numpy as np
import paddle
import pytest

from ppose.errors import ConfigError
from ppose.models import (
    KeyPointAdaptiveWingLoss,
    KeyPointMSELoss,
    KeyPointOHKMMSELoss,
    KeyPointSmoothL1Loss,
)
from ppose.workspace import create, load_config

ROOT = Path(__file__).resolve().parent.parent.parent
N, K, H, W = 3, 4, 5, 6
TARGET_WEIGHT = np.array([[1, 0, 1, 0.5], [0, 0, 1, 1], [1, 1, 1, 2]])[..., None]


def squared(p, t):
    return (p - t) ** 2


def smooth_l1(p, t, beta=0.1):
    d = abs(p - t)
    return d * d / (2 * beta) if d < beta else d - beta / 2


def adaptive_wing(p, t, alpha=2.1, omega=14.0, epsilon=1.0, theta=0.5):
    """Equations 3 and 4 of the paper, letter by letter."""
    d = abs(p - t)
    if d < theta:
        return omega * math.log(1 + (d / epsilon) ** (alpha - t))
    slope = (
        omega
        * (1 / (1 + (theta / epsilon) ** (alpha - t)))
        * (alpha - t)
        * (theta / epsilon) ** (alpha - t - 1)
        * (1 / epsilon)
    )
    return slope * d - (theta * slope - omega * math.log(1 + (theta / epsilon) ** (alpha - t)))


def per_keypoint(function, heatmaps, target, weight, power=1):
    """Mean of function over each keypoint's pixels, times weight**power: (N, K)."""
    out = np.zeros((N, K))
    for n in range(N):
        for k in range(K):
            for y in range(H):
                for x in range(W):
                    pixel = function(heatmaps[n, k, y, x], target[n, k, y, x])
                    out[n, k] += weight[n, k, 0] ** power * pixel / (H * W)
    return out


def mean_of_hardest(losses, topk):
    total = 0.0
    for row in losses:
        total += sum(sorted(row, reverse=True)[:topk]) / topk
    return total / len(losses)


# Name, options, the loops that say the same.
CASES = {
    "mse": (KeyPointMSELoss, {"loss_scale": 0.5}, lambda *a: 0.5 * per_keypoint(squared, *a, power=2).mean()),
    "ohkm": (
        KeyPointOHKMMSELoss,
        {"topk": 2},
        lambda *a: 0.5 * mean_of_hardest(per_keypoint(squared, *a, power=2), 2),
    ),
    "ohkm of all": (
        KeyPointOHKMMSELoss,
        {"topk": 4, "loss_scale": 1.0},
        lambda *a: per_keypoint(squared, *a, power=2).mean(),
    ),
    "smooth L1": (KeyPointSmoothL1Loss, {}, lambda *a: per_keypoint(smooth_l1, *a).mean()),
    "smooth L1, beta": (
        KeyPointSmoothL1Loss,
        {"beta": 0.6, "loss_scale": 3.0},
        lambda *a: 3 * per_keypoint(lambda p, t: smooth_l1(p, t, 0.6), *a).mean(),
    ),
    "adaptive wing": (KeyPointAdaptiveWingLoss, {}, lambda *a: per_keypoint(adaptive_wing, *a).mean()),
    "adaptive wing, options": (
        KeyPointAdaptiveWingLoss,
        {"alpha": 2.5, "omega": 8.0, "epsilon": 0.6, "theta": 0.3, "loss_scale": 2.0},
        lambda *a: 2 * per_keypoint(lambda p, t: adaptive_wing(p, t, 2.5, 8.0, 0.6, 0.3), *a).mean(),
    ),
}


@pytest.fixture
def maps():
    """Heatmaps and targets in float64, so that differences are exact; errors from 0.01 to 1.7."""
    rng = np.random.default_rng(0)
    target = rng.uniform(0, 1, (N, K, H, W))
    target[:, :, 0] = 0
    target[:, :, 1, 0] = 1
    error = rng.uniform(0.01, 0.75, target.shape) * rng.choice([-1, 1], target.shape)
    return target + error * np.linspace(0.5, 2.2, K)[:, None, None], target


def compute(criterion, heatmaps, target, weight=TARGET_WEIGHT):
    """The loss and its gradient to the heatmaps."""
    prediction = paddle.to_tensor(heatmaps, stop_gradient=False)
    loss = criterion(prediction, paddle.to_tensor(target), paddle.to_tensor(weight.astype(heatmaps.dtype)))
    assert loss.shape == []
    loss.backward()
    return loss.item(), prediction.grad.numpy()


@pytest.mark.parametrize("use_target_weight", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_loss_is_what_the_loops_say(maps, case, use_target_weight):
    make, options, loops = CASES[case]
    weight = TARGET_WEIGHT if use_target_weight else np.ones_like(TARGET_WEIGHT)
    loss, _ = compute(make(use_target_weight=use_target_weight, **options), *maps)
    assert loss == pytest.approx(loops(*maps, weight), rel=1e-7)  # Paddle's beta is a float32
    single = [m.astype(np.float32) for m in maps]
    loss, _ = compute(make(use_target_weight=use_target_weight, **options), *single)
    assert loss == pytest.approx(loops(*maps, weight), rel=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_gradient_is_the_finite_difference(maps, case):
    make, options, loops = CASES[case]
    heatmaps, target = maps
    _, gradient = compute(make(**options), heatmaps, target)
    rng = np.random.default_rng(1)
    for _ in range(12):
        where = tuple(rng.integers(0, heatmaps.shape))
        step = np.zeros_like(heatmaps)
        step[where] = 1e-6
        up, down = (loops(h, target, TARGET_WEIGHT) for h in (heatmaps + step, heatmaps - step))
        assert gradient[where] == pytest.approx((up - down) / 2e-6, rel=1e-4, abs=1e-9)


def test_hard_keypoints_alone_get_gradients(maps):
    _, gradient = compute(KeyPointOHKMMSELoss(topk=1), *maps)
    assert (np.abs(gradient).sum(axis=(2, 3)) > 0).sum(axis=1).tolist() == [1, 1, 1]


@pytest.mark.parametrize("make", [KeyPointSmoothL1Loss, KeyPointAdaptiveWingLoss])
def test_gradients_are_finite_everywhere(make):
    """At the target itself, at the seam of the two parts, and far away, for any target from 0 to 1."""
    target, error = np.meshgrid(
        np.linspace(0, 1, 101), [0, 1e-30, 1e-8, 0.1, 0.5, 1, 1e4, 1e30, -1e-20, -0.5, -1e30]
    )
    target = target[None, None].astype(np.float32)
    heatmaps = target + error[None, None].astype(np.float32)
    loss, gradient = compute(make(), heatmaps, target, np.ones((1, 1, 1)))
    assert math.isfinite(loss)
    assert np.isfinite(gradient).all()
    assert (gradient[heatmaps == target] == 0).all()
    apart = heatmaps != target
    assert (np.sign(gradient) == np.sign(heatmaps - target))[apart & (np.abs(heatmaps - target) > 1e-6)].all()
    assert compute(make(), target, target, np.ones((1, 1, 1)))[0] == 0


def test_gradient_at_the_seam_is_the_slope():
    """At an error of exactly theta the slope is neither counted twice nor lost."""
    for theta in (0.5, 0.25):
        near = [np.full((1, 1, 1, 1), theta + shift) for shift in (-1e-9, 0.0, 1e-9)]
        zero = np.zeros((1, 1, 1, 1))
        slopes = [
            compute(KeyPointAdaptiveWingLoss(theta=theta), h, zero, np.ones((1, 1, 1)))[1].item()
            for h in near
        ]
        np.testing.assert_allclose(slopes, slopes[0], rtol=1e-6)


def test_more_hard_keypoints_than_keypoints_is_an_error(maps):
    with pytest.raises(ConfigError, match="topk is 8, but there are 4 keypoints"):
        compute(KeyPointOHKMMSELoss(), *maps)


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (KeyPointOHKMMSELoss, {"topk": 0}),
        (KeyPointSmoothL1Loss, {"beta": 0}),
        (KeyPointAdaptiveWingLoss, {"alpha": 2.0}),
        (KeyPointAdaptiveWingLoss, {"theta": 0}),
        (KeyPointAdaptiveWingLoss, {"epsilon": float("nan")}),
    ],
)
def test_senseless_options_are_errors(make, options):
    with pytest.raises(ConfigError, match=f"{make.__name__}.*{next(iter(options))}"):
        make(**options)


def test_a_config_chooses_the_loss_by_name():
    cfg = load_config(
        ROOT / "configs" / "lite_hrnet_18_256x192_coco.yml",
        ["TopDownHRNet.loss=KeyPointOHKMMSELoss", "+KeyPointOHKMMSELoss.topk=5"],
    )
    assert create(cfg["TopDownHRNet"]["loss"], cfg).topk == 5
