"""Finds heatmap peaks and refines them to subpixel positions; M = N x K heatmaps at once."""

from functools import lru_cache

import cv2
import numpy as np

from ppose.errors import ConfigError

# Limits to which DARK and UDP clip smoothed maps before their logarithm.
DARK_CUT, UDP_CUT = (1e-10, float(np.finfo(np.float32).max)), (1e-3, 50.0)
UDP_FLAT = float(np.finfo(np.float32).eps)  # added to its curvatures, so that flat maps do not move the peak

_REACH = 2  # pixels around a peak that a refinement reads


def find_peaks(
    heatmaps: np.ndarray, heatmap_size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return heatmaps (N, K, H, W) as maps (M, H, W), each one's highest pixel (x, y) (M, 2), its value (M,).

    A map that is nowhere above 0, or holds NaN, has its peak at (0, 0), as in the official HRNet code.
    Raises ConfigError for heatmaps of another size.
    """
    heatmaps = np.asarray(heatmaps, np.float32)
    width, height = heatmap_size
    if heatmaps.ndim != 4 or heatmaps.shape[2:] != (height, width):
        raise ConfigError(f"heatmaps are {heatmaps.shape}, expected (N, K, {height}, {width}) as hmsize says")
    flat = heatmaps.reshape(-1, height * width)
    index = flat.argmax(axis=1)
    scores = np.take_along_axis(flat, index[:, None], axis=1)[:, 0]
    index[~(scores > 0)] = 0
    y, x = np.divmod(index, width)
    return flat.reshape(-1, height, width), np.stack([x, y], axis=1), scores


def shift_by_quarter(maps: np.ndarray, peaks: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return the peaks (M, 2), each moved by 1/4 pixel in x and in y towards its higher neighbour.

    x does not move in the first two columns, the last one and the first row; y likewise. This is mmpose's
    rule; the official HRNet code differs only in border pixels, where it moves neither.
    """
    height, width = maps.shape[1:]
    x, y = peaks.T
    at = _neighbours(maps, peaks)
    moves_x = (x > 1) & (x < width - 1) & (y > 0) & (scores > 0)
    moves_y = (y > 1) & (y < height - 1) & (x > 0) & (scores > 0)
    dx = np.where(moves_x, at[1, 0] - at[-1, 0], 0)
    dy = np.where(moves_y, at[0, 1] - at[0, -1], 0)
    return peaks + 0.25 * np.sign(np.stack([dx, dy], axis=1))


def shift_by_dark(maps: np.ndarray, peaks: np.ndarray, scores: np.ndarray, kernel_size: int) -> np.ndarray:
    """Return the peaks (M, 2), each moved to the maximum of the log heatmap's second-order expansion.

    m - H^-1 g with the gradient g and the Hessian H of the smoothed log heatmap at m, both from differences
    over two pixels (DARK: Zhang et al., Distribution-Aware Coordinate Representation, CVPR 2020). Peaks
    within two pixels of a border do not move.
    """
    height, width = maps.shape[1:]
    x, y = peaks.T
    at = _smoothed_log_neighbours(maps, peaks, scores, kernel_size, *DARK_CUT)
    gradient = 0.5 * (at[1, 0] - at[-1, 0]), 0.5 * (at[0, 1] - at[0, -1])
    xx = 0.25 * (at[2, 0] - 2 * at[0, 0] + at[-2, 0])
    yy = 0.25 * (at[0, 2] - 2 * at[0, 0] + at[0, -2])
    xy = 0.25 * (at[1, 1] - at[1, -1] - at[-1, 1] + at[-1, -1])
    inside = (x > 1) & (x < width - 2) & (y > 1) & (y < height - 2)
    return _newton_step(peaks, gradient, (xx, xy, yy), inside & (scores > 0))


def shift_by_udp_dark(
    maps: np.ndarray, peaks: np.ndarray, scores: np.ndarray, kernel_size: int
) -> np.ndarray:
    """Return the peaks (M, 2) moved by DARK's step as UDP takes it (Huang et al., CVPR 2020).

    Differences are over one pixel, border values are repeated outside of the map, and values are clipped to
    0.001 .. 50 before the logarithm.
    """
    at = _smoothed_log_neighbours(maps, peaks, scores, kernel_size, *UDP_CUT)
    middle, right, left, below, above = at[0, 0], at[1, 0], at[-1, 0], at[0, 1], at[0, -1]
    xx = right - 2 * middle + left + UDP_FLAT
    yy = below - 2 * middle + above + UDP_FLAT
    xy = 0.5 * (at[1, 1] - right - below + 2 * middle - left - above + at[-1, -1])
    return _newton_step(peaks, (0.5 * (right - left), 0.5 * (below - above)), (xx, xy, yy), scores > 0)


@lru_cache
def blur_matrix(length: int, kernel_size: int) -> np.ndarray:
    """Symmetric (length, length) float32: row i holds OpenCV's Gaussian kernel of that size around i."""
    half = np.zeros(max(length, kernel_size))
    half[: kernel_size // 2 + 1] = cv2.getGaussianKernel(kernel_size, 0)[kernel_size // 2 :, 0]
    position = np.arange(length)
    return half[np.abs(position[:, None] - position)].astype(np.float32)


def _neighbours(maps: np.ndarray, peaks: np.ndarray) -> np.ndarray:
    """Values around the peaks, (5, 5, M) float64, indexed by [dx, dy] from -2 to 2."""
    x, y = _window(maps, peaks)
    return maps[np.arange(len(maps)), y, x[:, None]].astype(np.float64)


def _smoothed_log_neighbours(
    maps: np.ndarray, peaks: np.ndarray, scores: np.ndarray, kernel_size: int, low: float, high: float
) -> np.ndarray:
    """`_neighbours` in the logarithm of the smoothed map, first clipped to ``low`` .. ``high``.

    The map is smoothed by a Gaussian with zero padding, then rescaled to its old maximum.
    """
    # A blur along one axis with zero padding is a product with a banded matrix. So the 25 needed values take
    # 5 of its rows on either side of the map: 20 times less work than blurring the maps.
    blur_x, blur_y = (blur_matrix(length, kernel_size) for length in maps.shape[:0:-1])
    x, y = _window(maps, peaks)
    with np.errstate(invalid="ignore", over="ignore"):  # an inf of a broken network spoils only its own map
        smoothed = blur_y[y.T] @ maps @ blur_x[x.T].swapaxes(1, 2)
        # The factor is a constant in the logarithm and cancels in its differences, unless values are clipped.
        # It is at least 1, since a mean is no higher than the maximum, and raises no value above the score.
        cut = (scores > 0) & ((smoothed.min(axis=(1, 2)) < low) | (scores > high))
        highest = (blur_y @ maps[cut] @ blur_x).max(axis=(1, 2))
        factor = np.divide(scores[cut], highest, out=np.zeros_like(highest), where=highest > 0)
        smoothed[cut] *= factor[:, None, None]
    return np.log(np.clip(smoothed.transpose(2, 1, 0).astype(np.float64), low, high))


def _window(maps: np.ndarray, peaks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Columns (5, M) and rows (5, M) around the peaks, clipped to the map.

    The offsets are in the order 0, 1, 2, -2, -1, so that they work as indexes.
    """
    height, width = maps.shape[1:]
    offsets = np.roll(np.arange(-_REACH, _REACH + 1), -_REACH)[:, None]
    return np.clip(peaks[:, 0] + offsets, 0, width - 1), np.clip(peaks[:, 1] + offsets, 0, height - 1)


def _newton_step(
    peaks: np.ndarray,
    gradient: tuple[np.ndarray, np.ndarray],
    hessian: tuple[np.ndarray, np.ndarray, np.ndarray],
    moves: np.ndarray,
) -> np.ndarray:
    """Peaks - H^-1 g where ``moves`` and H has an inverse, with H = [[xx, xy], [xy, yy]]."""
    (x, y), (xx, xy, yy) = gradient, hessian
    determinant = xx * yy - xy * xy
    step = np.stack([yy * x - xy * y, xx * y - xy * x], axis=1)
    usable = (moves & (determinant != 0) & np.isfinite(determinant) & np.isfinite(step).all(axis=1))[:, None]
    return peaks - np.divide(step, determinant[:, None], out=np.zeros_like(step), where=usable)
