"""What is made black: discs at keypoints and rectangles anywhere, pixel by pixel."""

import math

import numpy as np
import pytest

from ppose.transforms import CoarseDropout, InformationDropping


def naive_discs(image, discs):
    out = image.copy()
    for (cx, cy), radius in discs:
        for y in range(image.shape[0]):
            for x in range(image.shape[1]):
                if ((cx - x) / radius) ** 2 + ((cy - y) / radius) ** 2 <= 1:
                    out[y, x] = 0
    return out


@pytest.mark.parametrize("patches", [1, 4])
def test_information_dropping_blackens_discs_near_visible_keypoints(make_sample, patches):
    """The same random numbers give a loop's discs: keypoint, offset, radius; some hang over the border."""
    transform = InformationDropping([48, 64], prob_cutout=1.0, offset_factor=0.3, num_patch=patches)
    visible = np.zeros(17)
    visible[[2, 9]] = 1
    for seed in range(30):
        image = np.full((64, 48, 3), 9, np.uint8)
        sample = make_sample(seed, image=image, visible=visible)
        points = sample["keypoints"][[2, 9]]
        rng = np.random.default_rng(seed)
        rng.random()
        discs = [
            (points[rng.integers(2)] + 0.3 * 48 * rng.standard_normal(2), rng.uniform(4.8, 9.6))
            for _ in range(patches)
        ]
        np.testing.assert_array_equal(transform(sample)["image"], naive_discs(image, discs))


def test_information_dropping_offset_and_radius(make_sample):
    """Without an offset the disc is centred on the keypoint; its radius is 10 to 20 % of the width."""
    transform = InformationDropping([48, 64], prob_cutout=1.0, offset_factor=0)
    visible = (np.arange(17) == 4).astype(np.float32)
    keypoints = np.full((17, 2), [24.0, 30.0])
    rng = np.random.default_rng(0)
    areas = []
    for _ in range(300):
        image = np.full((64, 48, 3), 9, np.uint8)
        out = transform(make_sample(image=image, keypoints=keypoints, visible=visible, generator=rng))
        y, x = np.nonzero(out["image"][..., 0] == 0)
        np.testing.assert_allclose([x.mean(), y.mean()], [24, 30])
        areas.append(len(x))
    radii = np.sqrt(np.array(areas) / math.pi)
    assert radii.min() == pytest.approx(4.8, abs=0.4)
    assert radii.max() == pytest.approx(9.6, abs=0.4)
    nobody = make_sample(visible=np.zeros(17))
    image = nobody["image"]
    assert transform(nobody)["image"] is image


def test_coarse_dropout_blackens_as_many_rectangles_as_it_says(make_sample):
    transform = CoarseDropout([1, 1], [0.25, 0.5], [0.1, 0.3], p=1.0)
    rng = np.random.default_rng(0)
    shapes, tops, lefts = [], [], []
    for _ in range(500):
        image = np.full((64, 48, 3), 9, np.uint8)
        black = (transform(make_sample(image=image, generator=rng))["image"] == 0).all(axis=2)
        y, x = np.nonzero(black)
        shapes.append((np.ptp(y) + 1, np.ptp(x) + 1))
        assert black.sum() == math.prod(shapes[-1])  # one full rectangle, not cut off
        tops.append(y.min())
        lefts.append(x.max())
    np.testing.assert_array_equal(np.min(shapes, axis=0), [16, 5])
    np.testing.assert_array_equal(np.max(shapes, axis=0), [32, 14])
    assert (min(tops), max(lefts)) == (0, 47)
    many = CoarseDropout([3, 5], [0.02, 0.02], [0.02, 0.02], p=1.0)  # single pixels
    counts = [
        (many(make_sample(image=np.full((64, 48, 3), 9, np.uint8), generator=rng))["image"] == 0).sum() / 3
        for _ in range(300)
    ]
    assert max(counts) == 5
    assert np.mean(counts) == pytest.approx(4, abs=0.15)
    whole = CoarseDropout([1, 1], [1, 1], [1, 1], p=1.0)
    assert whole(make_sample())["image"].max() == 0
