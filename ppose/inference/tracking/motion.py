"""Predicts boxes: a Kalman filter with constant velocity for each."""

from dataclasses import dataclass

import numpy as np

# Standard deviations in sizes (the box's longer side): of measurements with a score of 1, in x, y, width
# (which changes with every step) and height; of velocities at first sight, in sizes a second.
_NOISE = np.array([0.025, 0.025, 0.15, 0.05])
_FIRST_SPEED = np.array([1.5, 1.5, 0.3, 0.3])
# The growth of the velocities' variance in a second.
_DRIFT = np.array([0.7, 0.7, 0.02, 0.02])
_LEAST_SCORE = 0.1


@dataclass(frozen=True, eq=False)
class Motion:
    """The state of N boxes: center x, y, width and height with their velocities, in pixels and seconds.

    ``mean`` (N, 4, 2) and ``covariance`` (N, 4, 2, 2) are of each of the four and its velocity; the four are
    independent. Noise is proportional to the box's longer side, so that near and far people are treated
    alike, and to 1 / score, since boxes of half hidden people are less exact (Kalman, 1960; a box's state
    after Bewley et al., SORT, ICIP 2016; noise by score after Du et al., GIAOTracker, ICCVW 2021).
    """

    mean: np.ndarray
    covariance: np.ndarray

    def __len__(self) -> int:
        return len(self.mean)

    @classmethod
    def begin(cls, bboxes_xyxy: np.ndarray, scores: np.ndarray) -> "Motion":
        """The state of boxes (N, 4) with scores (N,) that are seen for the first time."""
        state = _to_center_size(bboxes_xyxy)
        mean = np.stack([state, np.zeros_like(state)], axis=2)
        covariance = np.zeros((len(mean), 4, 2, 2))
        covariance[..., 0, 0] = _noise(mean, scores)
        covariance[..., 1, 1] = (_FIRST_SPEED * _sizes(mean)) ** 2
        return cls(mean, covariance)

    def predict(self, seconds: float) -> "Motion":
        """The state after some time without a measurement."""
        step = np.array([[1.0, seconds], [0.0, 1.0]])
        change = np.array([[seconds**3 / 3, seconds**2 / 2], [seconds**2 / 2, seconds]])
        drift = (_DRIFT * _sizes(self.mean) ** 2)[..., None, None] * change
        return Motion(self.mean @ step.T, step @ self.covariance @ step.T + drift)

    def correct(self, bboxes_xyxy: np.ndarray, scores: np.ndarray) -> "Motion":
        """The state after measuring these boxes (N, 4) with scores (N,)."""
        off = _to_center_size(bboxes_xyxy) - self.mean[..., 0]
        gain = self.covariance[..., 0] / (self.covariance[..., 0, 0] + _noise(self.mean, scores))[..., None]
        mean = self.mean + gain * off[..., None]
        return Motion(mean, self.covariance - gain[..., None] * self.covariance[..., 0, None, :])

    def costs(self, bboxes_xyxy: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """-log of the density (N, M) of boxes (M, 4) with scores (M,), in units of sizes.

        Up to a constant it is half the squared Mahalanobis distance plus the log of the standard deviations:
        of two possible people, the one whose place is known better is likelier.
        """
        variance = self.covariance[:, None, :, 0, 0] + _noise(self.mean[:, None], scores)
        off = _to_center_size(bboxes_xyxy) - self.mean[:, None, :, 0]
        deviations = np.sqrt(variance) / _sizes(self.mean)[:, None]
        return (off**2 / variance / 2 + np.log(deviations)).sum(axis=2)

    @property
    def centers(self) -> np.ndarray:
        """(N, 2): expected x and y."""
        return self.mean[:, :2, 0]

    @property
    def sizes(self) -> np.ndarray:
        """(N,): the longer side in pixels, at least 1."""
        return _sizes(self.mean)[:, 0]

    def shift(self, pixels: np.ndarray) -> "Motion":
        """The state after a shift (2,) of all boxes by the camera."""
        mean = self.mean.copy()
        mean[:, :2, 0] += pixels
        return Motion(mean, self.covariance)

    def take(self, rows: np.ndarray | list[int]) -> "Motion":
        """The boxes of these rows."""
        rows = np.asarray(rows, np.int64)
        return Motion(self.mean[rows], self.covariance[rows])

    def replace(self, rows: list[int], others: "Motion") -> "Motion":
        """A copy with ``others`` in these rows."""
        mean, covariance = self.mean.copy(), self.covariance.copy()
        mean[rows], covariance[rows] = others.mean, others.covariance
        return Motion(mean, covariance)

    def join(self, others: "Motion") -> "Motion":
        """These boxes, then others."""
        return Motion(
            np.concatenate([self.mean, others.mean]), np.concatenate([self.covariance, others.covariance])
        )


def _to_center_size(bboxes_xyxy: np.ndarray) -> np.ndarray:
    first, last = np.split(np.asarray(bboxes_xyxy, np.float64).reshape(-1, 4), 2, axis=1)
    return np.concatenate([(first + last) / 2, last - first], axis=1)


def _sizes(mean: np.ndarray) -> np.ndarray:
    """(..., 1): the longer side of means (..., 4, 2), at least 1 pixel."""
    return np.maximum(mean[..., 2:, 0].max(axis=-1, keepdims=True), 1.0)


def _noise(mean: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Variance (..., 4) of measurements with scores (...)."""
    return (_NOISE * _sizes(mean) / np.clip(scores, _LEAST_SCORE, 1)[..., None]) ** 2
