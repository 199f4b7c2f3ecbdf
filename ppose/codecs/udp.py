"""Gaussian heatmaps in UDP's coordinates."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ppose.codecs.codec import Codec
from ppose.codecs.gaussian import blur_kernel_size, check_codec_sizes, draw_gaussians, nearest_pixel
from ppose.codecs.refine import find_peaks, shift_by_udp_dark
from ppose.errors import ConfigError
from ppose.workspace import register


@register(Codec)
@dataclass(frozen=True)
class UDPHeatmap:
    """A Gaussian of height 1 on each keypoint, where the centers of border pixels map to each other.

    A heatmap pixel is (input_size - 1) / (heatmap_size - 1) input pixels, in both directions (UDP, Huang et
    al., CVPR 2020); mmpose's decoder scales by input_size instead. N people, K keypoints; ``input_size``
    (w, h) and ``heatmap_size`` (W, H) in pixels, ``sigma`` in heatmap pixels; Gaussians are truncated at 3
    sigma. The image must be warped by `ppose.geometry.get_udp_warp_matrix`. Raises ConfigError for invalid
    sizes or sigma.
    """

    input_size: tuple[int, int]
    heatmap_size: tuple[int, int]
    sigma: float = 2.0
    peak: ClassVar[float] = 1.0
    mirrors: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_codec_sizes(self.input_size, self.heatmap_size, self.sigma)

    def encode(self, keypoints: np.ndarray, visible: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return heatmaps (K, H, W) float32 and target_weight (K, 1) of keypoints (K, 2) in input pixels.

        A keypoint with ``visible`` (K,) 0, or whose Gaussian lies outside of the map, has zeros and weight 0.
        """
        point = np.asarray(keypoints, np.float64) / self.stride
        labelled = np.asarray(visible) > 0
        return draw_gaussians(
            point, nearest_pixel(point), labelled, self.sigma, self.heatmap_size, truncate=True
        )

    def decode(self, heatmaps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return keypoints (N, K, 2) in input pixels and scores (N, K), the peaks' values.

        A heatmap (of N, K, H, W) that is nowhere above 0, or holds NaN, gives the keypoint (0, 0) with its
        maximum as score. Raises ConfigError for heatmaps of another size.
        """
        maps, peaks, scores = find_peaks(heatmaps, self.heatmap_size)
        points = shift_by_udp_dark(maps, peaks, scores, blur_kernel_size(self.sigma))
        people = heatmaps.shape[:2]
        return (points * self.stride).reshape(*people, 2), scores.reshape(people)

    def with_dark(self, use_dark: bool) -> "UDPHeatmap":
        """The codec itself, which always decodes with DARK's step; ConfigError without it."""
        if not use_dark:
            raise ConfigError(
                "use_dark is false, but UDP heatmaps are always decoded with DARK's step: set use_dark: true"
            )
        return self

    @property
    def stride(self) -> np.ndarray:
        """Input pixels per heatmap pixel, (x, y)."""
        return (np.asarray(self.input_size, np.float64) - 1) / (np.asarray(self.heatmap_size) - 1)
