"""Gaussian heatmaps of Simple Baselines and HRNet, plain or unbiased."""

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from ppose.codecs.codec import Codec
from ppose.codecs.gaussian import blur_kernel_size, check_codec_sizes, draw_gaussians, nearest_pixel
from ppose.codecs.refine import find_peaks, shift_by_dark, shift_by_quarter
from ppose.errors import ConfigError
from ppose.workspace import register


@register(Codec)
@dataclass(frozen=True)
class MSRAHeatmap:
    """A Gaussian of height ``peak`` at each keypoint; a heatmap pixel is input_size / heatmap_size pixels.

    N people, K keypoints. ``input_size`` (w, h) and ``heatmap_size`` (W, H) in pixels, ``sigma`` in heatmap
    pixels. Plain Gaussians are centered on the nearest heatmap pixel and truncated at 3 sigma (Xiao et al.,
    ECCV 2018); ``unbiased`` ones are centered on the point itself and not truncated (DARK, Zhang et al., CVPR
    2020). ``use_dark`` decodes with DARK's expansion of the log heatmap; otherwise peaks move by a quarter
    pixel. Scores are 1 at the top of a target, for any ``peak``. Raises ConfigError for invalid sizes, sigma
    or peak.

    >>> codec = MSRAHeatmap((192, 256), (48, 64), unbiased=True, use_dark=True)
    >>> heatmaps, target_weight = codec.encode(np.array([[95.3, 120.8]]), np.ones(1))
    >>> codec.decode(heatmaps[None])[0].round(1)
    array([[[ 95.3, 120.8]]])
    """

    input_size: tuple[int, int]
    heatmap_size: tuple[int, int]
    sigma: float = 2.0
    unbiased: bool = False
    use_dark: bool = False
    peak: float = 1.0
    mirrors: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_codec_sizes(self.input_size, self.heatmap_size, self.sigma)
        if not (math.isfinite(self.peak) and self.peak > 0):
            raise ConfigError(f"peak is {self.peak}, expected a number above 0")

    def encode(self, keypoints: np.ndarray, visible: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return heatmaps (K, H, W) float32 and target_weight (K, 1) of keypoints (K, 2) in input pixels.

        A keypoint with ``visible`` (K,) 0, or whose Gaussian lies outside of the map, has zeros and weight 0.
        """
        point = np.asarray(keypoints, np.float64) / self.stride
        pixel = nearest_pixel(point)
        center, window = (point, point) if self.unbiased else (pixel, pixel)
        heatmaps, weight = draw_gaussians(
            center, window, np.asarray(visible) > 0, self.sigma, self.heatmap_size, truncate=not self.unbiased
        )
        return heatmaps if self.peak == 1 else heatmaps * np.float32(self.peak), weight

    def decode(self, heatmaps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return keypoints (N, K, 2) in input pixels and scores (N, K), the peaks' values / ``peak``.

        A heatmap (of N, K, H, W) that is nowhere above 0, or holds NaN, gives the keypoint (0, 0) with its
        maximum as score. Raises ConfigError for heatmaps of another size.
        """
        maps, peaks, scores = find_peaks(heatmaps, self.heatmap_size)
        if self.use_dark:
            points = shift_by_dark(maps, peaks, scores, blur_kernel_size(self.sigma))
        else:
            points = shift_by_quarter(maps, peaks, scores)
        people = heatmaps.shape[:2]
        return (points * self.stride).reshape(*people, 2), (scores / np.float32(self.peak)).reshape(people)

    def with_dark(self, use_dark: bool) -> "MSRAHeatmap":
        """The same codec, decoding with DARK's step or by a quarter pixel."""
        return replace(self, use_dark=use_dark)

    @property
    def stride(self) -> np.ndarray:
        """Input pixels per heatmap pixel, (x, y)."""
        return np.asarray(self.input_size, np.float64) / self.heatmap_size
