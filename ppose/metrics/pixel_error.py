"""Errors of keypoints in pixels."""

import numpy as np
from numpy.typing import ArrayLike


def pixel_errors(
    keypoints: ArrayLike, truth: ArrayLike, scales: ArrayLike, visible: np.ndarray
) -> dict[str, np.ndarray]:
    """The errors of N images' keypoints (N, K, 2), (N,) each; ``scales`` (N, 2) are 1 / 200 of padded boxes.

    error_px is the mean distance to the truth (N, K, 2) over all keypoints, visible or not, as in HRNet for
    spacecraft; error_px_visible is the mean over visible ones (NaN if there is none); error_over_scale is
    error_px after dividing x and y by the image's scale.
    """
    off = np.asarray(keypoints, np.float64) - np.asarray(truth, np.float64)
    distances = np.linalg.norm(off, axis=-1)
    scaled = np.linalg.norm(off / np.asarray(scales, np.float64)[:, None], axis=-1)
    with np.errstate(invalid="ignore"):
        of_visible = np.where(visible, distances, 0).sum(axis=1) / visible.sum(axis=1)
    return {
        "error_px": distances.mean(axis=1),
        "error_px_visible": of_visible,
        "error_over_scale": scaled.mean(axis=1),
    }
