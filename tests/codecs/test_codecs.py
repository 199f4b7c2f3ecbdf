"""Codecs against mmpose's stored targets and coordinates, naive loops and their own inverse."""

import dataclasses

import cv2
import numpy as np
import pytest

from ppose.codecs import MSRAHeatmap, UDPHeatmap
from ppose.codecs.gaussian import blur_kernel_size
from ppose.errors import ConfigError

SIZES = ((192, 256), (48, 64))
PLAIN = MSRAHeatmap(*SIZES)
UNBIASED = MSRAHeatmap(*SIZES, unbiased=True)
DARK = MSRAHeatmap(*SIZES, unbiased=True, use_dark=True)
UDP = UDPHeatmap(*SIZES)
ALL = [PLAIN, UNBIASED, DARK, UDP]


@pytest.fixture(scope="module")
def published(reference):
    with np.load(reference / "reference/codecs/mmpose_codecs.npz") as file:
        return dict(file)


@pytest.mark.parametrize(("codec", "name"), [(PLAIN, "msra"), (UNBIASED, "unbiased"), (UDP, "udp")])
def test_targets_are_the_published_ones(published, codec, name):
    heatmaps, weight = codec.encode(published["keypoints"], published["visible"])
    assert heatmaps.dtype == weight.dtype == np.float32
    np.testing.assert_allclose(heatmaps, published[f"{name}_heatmaps"], atol=1e-5, rtol=0)
    np.testing.assert_array_equal(weight[:, 0], published[f"{name}_weights"])


@pytest.mark.parametrize(("codec", "name"), [(PLAIN, "msra"), (DARK, "dark"), (UDP, "udp")])
def test_decoding_is_the_published_one(published, codec, name):
    heatmaps = np.stack([published["decode_heatmaps"], published["decode_heatmaps"][::-1]])
    before = heatmaps.copy()
    keypoints, scores = codec.decode(heatmaps)
    np.testing.assert_array_equal(heatmaps, before)
    for person, order in enumerate((slice(None), slice(None, None, -1))):
        np.testing.assert_allclose(keypoints[person], published[f"{name}_decoded"][order], atol=1e-3, rtol=0)
        np.testing.assert_allclose(scores[person], published[f"{name}_scores"][order], atol=1e-6)


@pytest.mark.parametrize(("codec", "bound"), [(PLAIN, 2.0), (UNBIASED, 1.0), (DARK, 0.01), (UDP, 0.01)])
def test_a_keypoint_well_inside_survives_coding(codec, bound):
    keypoints = np.random.default_rng(0).uniform([40, 40], [150, 214], (2000, 2))
    heatmaps, weight = codec.encode(keypoints, np.ones(2000))
    assert weight.all()
    decoded, scores = codec.decode(heatmaps[None])
    assert decoded.shape == (1, 2000, 2)
    assert scores.min() > 0.9
    error = np.abs(decoded[0] - keypoints)
    assert error.max() <= bound
    assert error.max() > bound / 100  # the bound is of the right order


@pytest.mark.parametrize("sigma", [1.0, 1.5, 3.0])
def test_other_sigmas_and_sizes_survive_coding(sigma):
    codec = MSRAHeatmap((288, 384), (72, 96), sigma, unbiased=True, use_dark=True)
    keypoints = np.random.default_rng(1).uniform([60, 60], [220, 320], (200, 2))
    decoded, _ = codec.decode(codec.encode(keypoints, np.ones(200))[0][None])
    np.testing.assert_allclose(decoded[0], keypoints, atol=0.05)


def _naive_target(codec, keypoint):
    """One heatmap, pixel by pixel."""
    width, height = codec.heatmap_size
    if isinstance(codec, UDPHeatmap):
        stride = (np.array(codec.input_size) - 1) / (np.array(codec.heatmap_size) - 1)
    else:
        stride = np.array(codec.input_size) / codec.heatmap_size
    point = keypoint / stride
    pixel = (point + 0.5).astype(int)
    unbiased = getattr(codec, "unbiased", False)
    center = point if unbiased or isinstance(codec, UDPHeatmap) else pixel
    window = point if unbiased else pixel
    low, high = window - 3 * codec.sigma, window + 3 * codec.sigma
    heatmap = np.zeros((height, width))
    if low[0] >= width or low[1] >= height or high[0] + 1 < 0 or high[1] + 1 < 0:
        return heatmap, 0
    for y in range(height):
        for x in range(width):
            if unbiased or (low[0] <= x <= high[0] and low[1] <= y <= high[1]):
                squared = (x - center[0]) ** 2 + (y - center[1]) ** 2
                heatmap[y, x] = np.exp(-squared / (2 * codec.sigma**2))
    return heatmap, 1


@pytest.mark.parametrize("codec", [PLAIN, UNBIASED, UDP], ids=["plain", "unbiased", "udp"])
def test_targets_equal_a_naive_loop_also_at_and_beyond_the_border(codec):
    rng = np.random.default_rng(2)
    keypoints = np.concatenate(
        [rng.uniform(-60, 300, (18, 2)), [[-2.1, 100], [0, 0], [191, 255], [-27, 40], [-31, 40], [-40, 40]]]
    )
    visible = np.ones(len(keypoints))
    visible[3] = 0
    heatmaps, weight = codec.encode(keypoints, visible)
    for index, keypoint in enumerate(keypoints):
        expected, drawn = _naive_target(codec, keypoint) if visible[index] else (np.zeros((64, 48)), 0)
        np.testing.assert_allclose(heatmaps[index], expected, atol=1e-6)
        assert weight[index, 0] == drawn
    assert 0 < weight.sum() < len(keypoints)


def _blurred_log(heatmap, size, low, high):
    border = size // 2
    padded = cv2.GaussianBlur(np.pad(heatmap, border), (size, size), 0)[border:-border, border:-border]
    return np.log(np.clip(padded * (heatmap.max() / padded.max()), low, high).astype(np.float64))


def _naive_peak(codec, heatmap):
    """The point of one heatmap in heatmap pixels, by the papers' formulas."""
    height, width = heatmap.shape
    y, x = np.unravel_index(heatmap.argmax(), heatmap.shape)
    size = blur_kernel_size(codec.sigma)
    if isinstance(codec, UDPHeatmap):
        h = np.pad(_blurred_log(heatmap, size, 1e-3, 50), 1, mode="edge")
        i, j = y + 1, x + 1
        g = [(h[i, j + 1] - h[i, j - 1]) / 2, (h[i + 1, j] - h[i - 1, j]) / 2]
        xx, yy = h[i, j + 1] - 2 * h[i, j] + h[i, j - 1], h[i + 1, j] - 2 * h[i, j] + h[i - 1, j]
        forward = h[i + 1, j + 1] - h[i, j + 1] - h[i + 1, j] + h[i, j]
        backward = h[i, j] - h[i, j - 1] - h[i - 1, j] + h[i - 1, j - 1]
        xy = (forward + backward) / 2
        hessian = np.array([[xx, xy], [xy, yy]]) + np.finfo(np.float32).eps * np.eye(2)
        return np.array([x, y]) - np.linalg.solve(hessian, g)
    if not codec.use_dark:
        dx = heatmap[y, x + 1] - heatmap[y, x - 1] if 1 < x < width - 1 and y > 0 else 0
        dy = heatmap[y + 1, x] - heatmap[y - 1, x] if 1 < y < height - 1 and x > 0 else 0
        return np.array([x, y]) + 0.25 * np.sign([dx, dy])
    if not (1 < x < width - 2 and 1 < y < height - 2):
        return np.array([x, y], float)
    h = _blurred_log(heatmap, size, 1e-10, np.inf)
    gy, gx = [h[y + a, x + b] - h[y - a, x - b] for a, b in ((1, 0), (0, 1))]
    xx = (h[y, x + 2] - 2 * h[y, x] + h[y, x - 2]) / 4
    yy = (h[y + 2, x] - 2 * h[y, x] + h[y - 2, x]) / 4
    xy = (h[y + 1, x + 1] - h[y - 1, x + 1] - h[y + 1, x - 1] + h[y - 1, x - 1]) / 4
    hessian = np.array([[xx, xy], [xy, yy]])
    if np.linalg.det(hessian) == 0:
        return np.array([x, y], float)
    return np.array([x, y]) - np.linalg.solve(hessian, [gx / 2, gy / 2])


def _noisy_heatmaps(rng, count, noise, height):
    points = rng.uniform(-5, 260, (count, 2))
    maps = height * UNBIASED.encode(points, np.ones(count))[0]
    return (maps + rng.normal(0, noise, maps.shape)).astype(np.float32)


@pytest.mark.parametrize("codec", ALL[1:], ids=["quarter", "dark", "udp"])
@pytest.mark.parametrize(("noise", "height"), [(0.02, 1), (0.001, 1), (1e-4, 0.02), (1e-5, 0.004), (0.5, 80)])
def test_decoding_equals_a_naive_loop(codec, noise, height):
    """Low maps are cut at UDP's 0.001 and high ones at 50, so that the smoothed map's scale matters."""
    maps = _noisy_heatmaps(np.random.default_rng(3), 60, noise, height).reshape(4, 15, 64, 48)
    keypoints, scores = codec.decode(maps)
    stride = (191 / 47, 255 / 63) if isinstance(codec, UDPHeatmap) else (4, 4)
    expected = np.empty_like(keypoints)
    for n, k in np.ndindex(4, 15):
        assert scores[n, k] == maps[n, k].max()
        expected[n, k] = _naive_peak(codec, maps[n, k]) * stride
    # Maps of noise alone end near 0, where the logarithm magnifies float32's rounding: a few may be further.
    np.testing.assert_allclose(keypoints, expected, atol=0.01, rtol=0.01)
    assert (np.abs(keypoints - expected).max(axis=-1) <= 1e-3).sum() >= 57


@pytest.mark.parametrize("codec", ALL[1:], ids=["quarter", "dark", "udp"])
def test_decoding_equals_a_naive_loop_with_peaks_along_the_border(codec):
    peaks = [(x, y) for x in (0, 1, 2, 20, 45, 46, 47) for y in (0, 1, 2, 30, 61, 62, 63)]
    maps = np.random.default_rng(4).uniform(0.2, 0.4, (len(peaks), 64, 48)).astype(np.float32)
    for heatmap, (x, y) in zip(maps, peaks, strict=True):
        heatmap[y, x] = 1
    keypoints, _ = codec.decode(maps[None])
    stride = (191 / 47, 255 / 63) if isinstance(codec, UDPHeatmap) else (4, 4)
    expected = np.array([_naive_peak(codec, heatmap) for heatmap in maps]) * stride
    np.testing.assert_allclose(keypoints[0], expected, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("codec", ALL, ids=["plain", "unbiased", "dark", "udp"])
@pytest.mark.filterwarnings("error")
def test_useless_heatmaps_do_not_crash(codec):
    maps = np.zeros((1, 7, 64, 48), np.float32)
    maps[0, 1] = -1
    maps[0, 2] = 0.5
    maps[0, 3] = np.nan
    maps[0, 4, 10, 20] = np.nan
    maps[0, 5] = -1
    maps[0, 5, 30, 20] = 1e-6
    maps[0, 6, 30, 20] = np.inf
    keypoints, scores = codec.decode(maps)
    np.testing.assert_array_equal(keypoints[0, [0, 1, 3, 4]], 0)
    np.testing.assert_array_equal(scores[0], [0, -1, 0.5, np.nan, np.nan, np.float32(1e-6), np.inf])
    assert np.isfinite(keypoints).all()
    assert np.abs(keypoints[0, 2]).max() < 3  # UDP's step out of the corner of a flat map


@pytest.mark.filterwarnings("error")
def test_a_keypoint_that_is_not_a_number_has_no_target():
    for codec in ALL:
        heatmaps, weight = codec.encode(np.array([[np.nan, 3.0], [20.0, 30.0]]), np.array([1, 2]))
        assert not heatmaps[0].any()
        assert weight.tolist() == [[0], [1]]


def test_nobody_decodes_to_nobody():
    for codec in ALL:
        keypoints, scores = codec.decode(np.zeros((0, 17, 64, 48), np.float32))
        assert keypoints.shape == (0, 17, 2)
        assert scores.shape == (0, 17)


def test_kernel_sizes_are_those_of_darks_configs():
    assert [blur_kernel_size(sigma) for sigma in (1, 2, 3)] == [5, 11, 17]
    assert blur_kernel_size(0.3) == 3


def test_wrong_sizes_are_config_errors():
    with pytest.raises(ConfigError, match=r"\(1, 17, 48, 64\), expected \(N, K, 64, 48\)"):
        PLAIN.decode(np.zeros((1, 17, 48, 64), np.float32))
    with pytest.raises(ConfigError, match="sigma is 0"):
        MSRAHeatmap(*SIZES, sigma=0)
    with pytest.raises(ConfigError, match="heatmap_size"):
        UDPHeatmap((192, 256), (48, 1))


@pytest.mark.parametrize("codec", [PLAIN, DARK], ids=["plain", "dark"])
def test_a_higher_peak_changes_the_targets_alone(codec):
    """As the TensorFlow codes of SimpleBaseline have it: 255 times the Gaussian, scores divided by 255."""
    keypoints, visible = np.array([[60.3, 101.7], [131.2, 88.4]]), np.array([1, 1])
    high = dataclasses.replace(codec, peak=255.0)
    heatmaps, weight = high.encode(keypoints, visible)
    plain, plain_weight = codec.encode(keypoints, visible)
    np.testing.assert_allclose(heatmaps, 255 * plain, rtol=1e-6)
    np.testing.assert_array_equal(weight, plain_weight)
    found, scores = high.decode(heatmaps[None])
    expected, plain_scores = codec.decode(plain[None])
    np.testing.assert_allclose(found, expected, atol=1e-3)
    np.testing.assert_allclose(scores, plain_scores, rtol=1e-6)


def test_a_peak_is_above_0():
    with pytest.raises(ConfigError, match=r"peak is 0, expected a number above 0"):
        MSRAHeatmap(*SIZES, peak=0)
