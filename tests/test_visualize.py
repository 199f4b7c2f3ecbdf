"""Heatmaps lie over the image where the codec says that they are."""

import numpy as np
import pytest

from ppose.codecs import MSRAHeatmap, UDPHeatmap
from ppose.visualize import draw_heatmaps


@pytest.mark.parametrize(
    "codec", [MSRAHeatmap((96, 128), (24, 32), 1.5, unbiased=True), UDPHeatmap((96, 128), (24, 32), 1.5)]
)
def test_a_heatmap_is_drawn_at_its_keypoint(codec):
    keypoint = np.array([[71.0, 40.0]])
    heatmaps, _ = codec.encode(keypoint, np.ones(1))
    image = np.full((128, 96, 3), 100, np.uint8)
    drawn = draw_heatmaps(image, heatmaps, codec.stride).astype(float)
    assert drawn.shape == image.shape
    # The distance to the plain darkened image, as weights of a mean position.
    weight = np.abs(drawn - 50).sum(axis=2)
    y, x = np.mgrid[:128, :96]
    center = np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()
    np.testing.assert_allclose(center, keypoint[0], atol=0.5)


def test_colours_of_heatmaps():
    image = np.full((8, 8, 3), 200, np.uint8)
    heatmaps = np.zeros((3, 8, 8), np.float32)
    heatmaps[0, 2, 5], heatmaps[1, 2, 5] = 1, 0.3  # the highest counts
    heatmaps[:, 4, 4], heatmaps[2, 6, 1], heatmaps[2, 7, 7] = -3, 9, np.nan
    before = image.copy()
    drawn = draw_heatmaps(image, heatmaps, (1, 1))
    np.testing.assert_array_equal(image, before)
    red, green, blue = drawn[2, 5].astype(int)
    assert red > 100 > green + blue
    np.testing.assert_array_equal(drawn[6, 1], drawn[2, 5])  # above 1 is 1
    untouched = np.ones((8, 8), bool)
    untouched[[2, 6], [5, 1]] = False
    assert (drawn[untouched] == 100).all()
