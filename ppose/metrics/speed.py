"""The scores of ESA's pose estimation challenges for poses in space."""

import numpy as np
from numpy.typing import ArrayLike

# SPEED+ treats errors below the accuracy of its testbed as 0 (Park et al., 2022).
_LEAST_POSITION, _LEAST_ANGLE = 2.173e-3, np.deg2rad(0.169)


def speed_scores(
    quaternions: ArrayLike, translations: ArrayLike, true_quaternions: ArrayLike, true_translations: ArrayLike
) -> dict[str, np.ndarray]:
    """The errors of N poses, (N,) each; quaternions (N, 4), scalar first, and translations (N, 3) in metres.

    error_t_m = |t - t'|; error_t_normalised = |t - t'| / |t'|; error_q_deg = 2 arccos(min(1, |<q, q'>|)) in
    degrees; speed = error_t_normalised + the same angle in radians (SPEC2019, Kisantal et al., 2020);
    speedplus: the same, each term 0 below SPEED+'s thresholds (SPEC2021). The scores are means over N.
    """
    quaternions, truth = np.asarray(quaternions, np.float64), np.asarray(true_quaternions, np.float64)
    norms = np.linalg.norm(quaternions, axis=-1) * np.linalg.norm(truth, axis=-1)
    cosine = np.abs((quaternions * truth).sum(axis=-1)) / norms
    angle = 2 * np.arccos(np.minimum(1.0, cosine))
    true_translations = np.asarray(true_translations, np.float64)
    distance = np.linalg.norm(np.asarray(translations, np.float64) - true_translations, axis=-1)
    share = distance / np.linalg.norm(true_translations, axis=-1)
    plus = np.where(share < _LEAST_POSITION, 0, share) + np.where(angle < _LEAST_ANGLE, 0, angle)
    return {
        "error_t_m": distance,
        "error_t_normalised": share,
        "error_q_deg": np.rad2deg(angle),
        "speed": share + angle,
        "speedplus": plus,
    }
