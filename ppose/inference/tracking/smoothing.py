"""Smooths keypoints over a person's whole track, past and future."""

import numpy as np

# The window in which a parabola is fitted. Limbs take at least a quarter of a second to reverse.
_WINDOW_SECONDS = 0.3
_ORDER = 2

# In sizes of the person: the deviation of keypoints with score 1; the growth of velocities' variance in a
# second.
_NOISE, _DRIFT = 0.01, 10.0
_LEAST_SCORE = 0.1  # ten times the deviation
_FIRST_SPEED = 3.0  # sizes a second


def fit_parabolas(values: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Values (F, ...) at rising ``times`` (F,) in seconds, each replaced by a parabola fitted around it.

    Savitzky and Golay, Analytical Chemistry 1964, at the true times: least squares over an odd number of
    frames, about 0.3 s; near the ends over the first or last window. Tracks of fewer than four frames, and
    frame rates so low that a window holds three, stay unchanged.

    >>> fit_parabolas(np.array([0.0, 1.0, 4.0, 9.0, 16.0, 25.0]), np.arange(6) / 15).round(6).tolist()
    [0.0, 1.0, 4.0, 9.0, 16.0, 25.0]
    """
    count = len(times)
    window = window_length(times)
    if window <= _ORDER + 1:
        return values
    first = np.clip(np.arange(count) - window // 2, 0, count - window)
    rows = first[:, None] + np.arange(window)
    since = times[rows] - times[:, None]
    scale = np.abs(since).max(axis=1, keepdims=True)
    powers = (since / scale)[..., None] ** np.arange(_ORDER + 1)
    weights = np.linalg.pinv(powers)[:, 0]  # of the polynomial's value at its own frame
    flat = values.reshape(count, -1)
    smooth = np.zeros(flat.shape)
    for place in range(window):
        smooth += weights[:, place, None] * flat[rows[:, place]]
    return smooth.reshape(values.shape)


def window_length(times: np.ndarray) -> int:
    """How many frames `fit_parabolas` fits at once: odd, at most the number of frames."""
    if len(times) < 2:
        return len(times)
    frames = _WINDOW_SECONDS / np.median(np.diff(times))
    longest = len(times) - 1 + len(times) % 2
    return int(min(2 * ((frames + 1e-6) // 2) + 1, longest))


def smooth_rts(
    keypoints: np.ndarray, times: np.ndarray, scores: np.ndarray, sizes: np.ndarray, measured: np.ndarray
) -> np.ndarray:
    """Keypoints (F, K, 2) at rising ``times`` (F,), smoothed by a model of constant velocity with noise.

    A Kalman filter forward and Rauch, Tung and Striebel's smoother backward (AIAA Journal 1965), for each
    keypoint. The measurement's deviation is proportional to the person's size (F,) in pixels and to
    1 / score (F, K). Frames that are not ``measured`` (F,) are estimated from the others.
    """
    noise = (_NOISE * sizes[:, None] / np.clip(scores, _LEAST_SCORE, 1)) ** 2
    noise = np.where(measured[:, None], noise, np.inf)
    elapsed = np.diff(times)
    steps = np.zeros((len(elapsed), 2, 2))
    steps[:, 0, 0] = steps[:, 1, 1] = 1
    steps[:, 0, 1] = elapsed
    drift = np.stack([elapsed**3 / 3, elapsed**2 / 2, elapsed**2 / 2, elapsed], axis=1).reshape(-1, 2, 2)
    drift *= (_DRIFT * sizes[1:] ** 2)[:, None, None]
    means, covariances, expected = _filter(keypoints, noise, steps, drift, _FIRST_SPEED * sizes[0])
    smooth = means[-1]
    result = np.empty(keypoints.shape)
    result[-1] = smooth[..., 0]
    for frame in reversed(range(len(elapsed))):
        step = steps[frame]
        gain = covariances[frame] @ step.T @ np.linalg.inv(expected[frame + 1])
        off = smooth - means[frame] @ step.T
        smooth = means[frame] + np.einsum("kij,kdj->kdi", gain, off)
        result[frame] = smooth[..., 0]
    return result


def _filter(
    keypoints: np.ndarray, noise: np.ndarray, steps: np.ndarray, drift: np.ndarray, first_speed: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means (F, K, 2, 2) of x, y and velocities; covariances (F, K, 2, 2); the same before measuring."""
    count, points = noise.shape
    means, covariances = np.zeros((count, points, 2, 2)), np.zeros((count, points, 2, 2))
    expected = np.zeros_like(covariances)
    mean = np.stack([keypoints[0], np.zeros_like(keypoints[0])], axis=2)
    covariance = np.zeros((points, 2, 2))
    covariance[:, 0, 0], covariance[:, 1, 1] = noise[0], first_speed**2
    means[0], covariances[0] = mean, covariance
    for frame in range(1, count):
        step = steps[frame - 1]
        mean, covariance = mean @ step.T, step @ covariance @ step.T + drift[frame - 1]
        expected[frame] = covariance
        gain = covariance[..., 0] / (covariance[:, 0, 0] + noise[frame])[:, None]
        off = keypoints[frame] - mean[..., 0]
        mean = mean + off[..., None] * gain[:, None]
        covariance = covariance - gain[..., None] * covariance[:, None, 0]
        means[frame], covariances[frame] = mean, covariance
    return means, covariances, expected
