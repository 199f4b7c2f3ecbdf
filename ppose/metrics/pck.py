"""PCK: shares of keypoints within a distance, and the distances."""

import numpy as np
from numpy.typing import ArrayLike

_HEAD = 0.6  # head size in PCKh, as a share of the head box's diagonal
_STEPS = 20  # the number of thresholds that the area under PCK averages


def share_within(
    distances: np.ndarray, visible: np.ndarray, threshold: float, *, strict: bool = False
) -> np.ndarray:
    """The share (K,) of the visible keypoints (N, K) whose distance (N, K) is at most the threshold.

    ``strict``: below it. NaN for a keypoint that is visible for nobody.
    """
    near = distances < threshold if strict else distances <= threshold
    with np.errstate(invalid="ignore"):
        return (near & visible).sum(axis=0) / visible.sum(axis=0)


def head_distances(keypoints: ArrayLike, truth: ArrayLike, head_boxes: ArrayLike) -> np.ndarray:
    """Distances (N, K) of keypoints (N, K, 2) to the truth in head sizes; head boxes (N, 2, 2) are corners.

    PCKh (Andriluka et al., CVPR 2014): a head's size is 0.6 of its box's diagonal.
    """
    corners = np.asarray(head_boxes, np.float64)
    sizes = _HEAD * np.linalg.norm(corners[:, 1] - corners[:, 0], axis=-1)
    off = np.asarray(keypoints, np.float64) - np.asarray(truth, np.float64)
    return np.linalg.norm(off, axis=-1) / sizes[:, None]


def mean_of_keypoints(shares: np.ndarray) -> float:
    """The mean over the keypoints that are visible for anybody; 0 if there is none."""
    return float(np.nanmean(shares)) if np.isfinite(shares).any() else 0.0


def area_under_pck(distances: np.ndarray, visible: np.ndarray, reach: float) -> float:
    """The mean of PCK below 20 thresholds of distances (N, K), from 0 to just under ``reach``.

    As in mmpose and PaddleDetection, with 30 pixels; exact keypoints have 19 / 20.
    """
    thresholds = reach * np.arange(_STEPS) / _STEPS
    shares = [mean_of_keypoints(share_within(distances, visible, t, strict=True)) for t in thresholds]
    return float(np.mean(shares))
