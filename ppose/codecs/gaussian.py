"""Gaussians on a pixel grid: the targets of heatmap training."""

import math

import numpy as np

from ppose.errors import ConfigError

_REACH = 3.0  # a Gaussian ends at this many sigmas, as in all published target code


def draw_gaussians(
    center: np.ndarray,
    window_center: np.ndarray,
    labelled: np.ndarray,
    sigma: float,
    heatmap_size: tuple[int, int],
    *,
    truncate: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Return heatmaps (K, H, W) with value exp(-|p - center|^2 / (2 sigma^2)), and target_weight (K, 1).

    ``center`` (K, 2) is in heatmap pixels and need not be whole. The 3-sigma window lies around
    ``window_center`` (K, 2): with ``truncate`` the map is zero outside of it, and a keypoint whose window
    misses the map has an empty map and weight 0, like one that is not ``labelled`` (K,). The window reaches a
    pixel further right and down in that test only, which is how the published code counts.
    """
    radius = _REACH * sigma
    size = np.asarray(heatmap_size)
    first, last = window_center - radius, window_center + radius + 1
    drawn = labelled & ((first < size) & (last >= 0)).all(axis=1)
    # A Gaussian is the product of one along x and one along y, profiles (2, K, the longer side): W + H
    # exponentials per map instead of W * H.
    position = np.arange(size.max())
    profiles = np.exp(-((position - center.T[..., None]) ** 2) / (2 * sigma**2))
    if truncate:
        profiles[np.abs(position - window_center.T[..., None]) > radius] = 0
    profiles[:, ~drawn] = 0
    columns, rows = profiles.astype(np.float32)
    width, height = heatmap_size
    heatmaps = rows[:, :height, None] * columns[:, None, :width]
    return heatmaps, drawn.astype(np.float32)[:, None]


def nearest_pixel(point: np.ndarray) -> np.ndarray:
    """The pixel of a point, as in the published code: add 0.5, truncate towards zero."""
    return np.trunc(point + 0.5)


def blur_kernel_size(sigma: float) -> int:
    """The odd size of DARK's smoothing kernel for targets of this sigma: 5, 11, 17 for 1, 2, 3.

    OpenCV's Gaussian of size k has the deviation 0.3 ((k - 1) / 2 - 1) + 0.8; this size brings it closest to
    sigma. That gives the sizes of DARK's published configs (11 and 17).
    """
    return 2 * max(1, round((sigma - 0.8) / 0.3 + 1)) + 1


def check_codec_sizes(input_size: tuple[int, int], heatmap_size: tuple[int, int], sigma: float) -> None:
    """Raise ConfigError if a codec's arguments are invalid."""
    for name, size in (("input_size", input_size), ("heatmap_size", heatmap_size)):
        if len(size) != 2 or min(size) < 2:
            raise ConfigError(f"{name} is {tuple(size)}, expected (width, height) of at least 2 pixels each")
    if not (math.isfinite(sigma) and sigma > 0):
        raise ConfigError(f"sigma is {sigma}, expected heatmap pixels above 0")
