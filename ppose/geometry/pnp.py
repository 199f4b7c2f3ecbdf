"""Solves the 6-DoF pose in space of a rigid object from its keypoints in an image.

A pose maps points of the object to the camera's frame: p_camera = R p + t. The camera looks along z; x is
right and y down, as in the image. Quaternions are (w, x, y, z), scalar first, as in SPEED (Kisantal et al.,
2020).
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike

from ppose.errors import DataError

_FEWEST = 4
# The object counts as flat if its extent across a plane is below this share of its largest extent.
_FLATNESS = 1e-3
_RANSAC_ROUNDS, _CONFIDENCE = 300, 0.999
# Largest distance of a keypoint that agrees with a pose, as a share of the keypoints' extent in the image.
_TOLERANCE, _LEAST_TOLERANCE = 0.05, 2.0
_LEAST_SCORE = 0.2  # of a keypoint that is used
_STEPS, _SMALLEST_GAIN = 50, 1e-12  # of Levenberg-Marquardt


@dataclass(frozen=True, eq=False)
class Camera:
    """A pinhole camera: ``matrix`` (3, 3) and OpenCV's ``distortion`` (n,): k1, k2, p1, p2, k3, and so on."""

    matrix: np.ndarray
    distortion: np.ndarray


@dataclass(frozen=True, eq=False)
class RigidPose:
    """A pose and its uncertainty: ``quaternion`` (4,), ``translation`` (3,) in the model's unit of length.

    ``covariance`` (6, 6) is that of the rotation vector (radians) and the translation, from the keypoints'
    reprojection errors. ``inliers`` (K,) are the keypoints that it was computed from, ``error`` is the root
    mean square of their reprojection errors in pixels.
    """

    quaternion: np.ndarray
    translation: np.ndarray
    covariance: np.ndarray
    inliers: np.ndarray
    error: float

    @property
    def rotation_vector(self) -> np.ndarray:
        """Axis times angle in radians, (3,)."""
        sine = np.linalg.norm(self.quaternion[1:])
        angle = 2 * np.arctan2(sine, self.quaternion[0])
        return self.quaternion[1:] * (angle / sine if sine else 0.0)


def to_quaternion(rotation: ArrayLike) -> np.ndarray:
    """The quaternion (4,), with a scalar >= 0, of a rotation: a matrix (3, 3), or axis times angle (3,).

    >>> to_quaternion([np.pi, 0, 0]).round(6) + 0
    array([0., 1., 0., 0.])
    """
    rotation = np.asarray(rotation, np.float64)
    vector = cv2.Rodrigues(rotation)[0].ravel() if rotation.shape == (3, 3) else rotation
    angle = np.linalg.norm(vector)
    quaternion = np.append(np.cos(angle / 2), np.sinc(angle / (2 * np.pi)) / 2 * vector)
    return -quaternion if quaternion[0] < 0 else quaternion


def project(points: ArrayLike, pose: RigidPose, camera: Camera) -> np.ndarray:
    """Pixels (N, 2) of points (N, 3) of an object in that pose."""
    points = np.asarray(points, np.float64)
    pixels, _ = cv2.projectPoints(
        points, pose.rotation_vector, pose.translation, camera.matrix, camera.distortion
    )
    return pixels.reshape(-1, 2)


def solve_pose(
    keypoints: ArrayLike,
    scores: ArrayLike,
    points: ArrayLike,
    camera: Camera,
    *,
    tolerance: float | None = None,
) -> RigidPose:
    """The pose that maps points (K, 3) of an object to keypoints (K, 2), in pixels, with scores (K,).

    EPnP (Lepetit et al., IJCV 2009) in RANSAC over the keypoints with a score of 0.2 or more finds those
    that agree within ``tolerance`` pixels (default: 5 % of the keypoints' extent, at least 2).
    Levenberg-Marquardt then minimises the sum over these of score * distance^2. Raises DataError, in one
    line, for other shapes; if fewer than four are left; if these lie in one plane, which leaves two poses; if
    less than half of them agree; or if these are within the tolerance of each other.
    """
    keypoints, scores = np.asarray(keypoints, np.float64), np.asarray(scores, np.float64)
    points = np.asarray(points, np.float64)
    shapes, count = (keypoints.shape, scores.shape, points.shape), scores.size
    if shapes != ((count, 2), (count,), (count, 3)):
        raise DataError(
            f"got keypoints {shapes[0]}, scores {shapes[1]} and points {shapes[2]}, expected (K, 2), (K,) "
            "and (K, 3)"
        )
    usable = np.isfinite(np.column_stack([keypoints, points, scores])).all(axis=1)
    usable &= scores >= _LEAST_SCORE
    _check_points(points[usable], f"keypoints with a score of {_LEAST_SCORE:g} or more")
    if tolerance is None:
        tolerance = max(_TOLERANCE * _extent(keypoints[usable]), _LEAST_TOLERANCE)
    pose, inliers = _find_inliers(keypoints, points, usable, camera, tolerance)
    for _ in range(2):  # the second time with the keypoints that agree with the first pose
        _check_points(points[inliers], "keypoints that agree on a pose")
        if (np.ptp(keypoints[inliers], axis=0) <= tolerance).all():
            raise DataError(
                f"the {inliers.sum()} keypoints that agree on a pose are all at one place in the image"
            )
        try:
            pose, hessian, cost = _refine(points[inliers], keypoints[inliers], scores[inliers], pose, camera)
            spread = np.linalg.inv(hessian)
        except np.linalg.LinAlgError:  # for numbers far beyond any image
            spread = np.full((6, 6), np.nan)
        if not np.isfinite(np.append(spread, pose)).all():
            raise DataError(f"no pose fits the {inliers.sum()} keypoints that agree on one")
        used, distances = inliers, _distances(keypoints, points, pose, camera)
        inliers = usable & (distances <= tolerance)
        if inliers.sum() < _fewest_inliers(usable):
            inliers = used
        if (inliers == used).all():
            break
    return RigidPose(
        quaternion=to_quaternion(pose[:3]),
        translation=pose[3:],
        covariance=cost / max(2 * used.sum() - 6, 1) * spread,
        inliers=used,
        error=float(np.sqrt((distances[used] ** 2).mean())),
    )


def is_flat(points: np.ndarray) -> bool:
    """Whether points (N, 3) lie in one plane or on one line."""
    spread = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    return bool(spread[2] <= _FLATNESS * spread[0])


def _check_points(points: np.ndarray, what: str) -> None:
    if len(points) < _FEWEST:
        raise DataError(f"there are {len(points)} {what}, a pose needs {_FEWEST}")
    if is_flat(points):
        raise DataError(f"the {len(points)} {what} lie in one plane, which leaves two poses")


def _extent(keypoints: np.ndarray) -> float:
    """The extent of the keypoints (N, 2), without a few outliers."""
    return 3 * float(np.median(np.linalg.norm(keypoints - np.median(keypoints, axis=0), axis=1)))


def _fewest_inliers(usable: np.ndarray) -> int:
    return max(_FEWEST, int(usable.sum()) // 2 + 1)


def _find_inliers(
    keypoints: np.ndarray, points: np.ndarray, usable: np.ndarray, camera: Camera, tolerance: float
) -> tuple[np.ndarray, np.ndarray]:
    """An initial pose (6,), rotation vector and translation, and which of the K keypoints agree with it."""
    inliers = np.zeros(len(points), bool)
    try:
        found, rotation, translation, rows = cv2.solvePnPRansac(
            points[usable],
            keypoints[usable],
            camera.matrix,
            camera.distortion,
            iterationsCount=_RANSAC_ROUNDS,
            reprojectionError=tolerance,
            confidence=_CONFIDENCE,
            flags=cv2.SOLVEPNP_EPNP,
        )
    except cv2.error:  # for samples that no pose fits
        found, rows = False, None
    if found and rows is not None:
        inliers[np.flatnonzero(usable)[rows.ravel()]] = True
    if inliers.sum() < _fewest_inliers(usable):
        raise DataError(
            f"no pose fits: {inliers.sum()} of {usable.sum()} keypoints agree on one, expected at least "
            f"{_fewest_inliers(usable)}"
        )
    return np.concatenate([rotation, translation]).ravel(), inliers


def _refine(
    points: np.ndarray, keypoints: np.ndarray, scores: np.ndarray, pose: np.ndarray, camera: Camera
) -> tuple[np.ndarray, np.ndarray, float]:
    """The pose (6,) of least weighted squares near this one; their Hessian (6, 6) there, and their sum."""
    weights = np.repeat(scores, 2)
    residuals, jacobian = _linearise(points, keypoints, pose, camera)
    cost, damping = float(weights @ residuals**2), 1e-3
    for _ in range(_STEPS):
        hessian = jacobian.T @ (weights[:, None] * jacobian)
        gradient = jacobian.T @ (weights * residuals)
        step = np.linalg.solve(hessian + damping * np.diag(hessian.diagonal()), gradient)
        ahead = _linearise(points, keypoints, pose + step, camera)
        gain = cost - float(weights @ ahead[0] ** 2)
        if gain > 0:
            pose, (residuals, jacobian), cost, damping = pose + step, ahead, cost - gain, damping / 10
        else:
            damping *= 10
        if abs(gain) <= _SMALLEST_GAIN * max(cost, 1.0):
            break
    return pose, jacobian.T @ (weights[:, None] * jacobian), cost


def _linearise(
    points: np.ndarray, keypoints: np.ndarray, pose: np.ndarray, camera: Camera
) -> tuple[np.ndarray, np.ndarray]:
    """The residuals of the keypoints (2 N,), and the derivative (2 N, 6) of their projection by the pose."""
    pixels, jacobian = cv2.projectPoints(points, pose[:3], pose[3:], camera.matrix, camera.distortion)
    return (keypoints - pixels.reshape(-1, 2)).ravel(), jacobian[:, :6]


def _distances(keypoints: np.ndarray, points: np.ndarray, pose: np.ndarray, camera: Camera) -> np.ndarray:
    """The reprojection errors of keypoints (K, 2) in pixels; infinite behind the camera."""
    residuals, _ = _linearise(points, keypoints, pose, camera)
    distances = np.linalg.norm(residuals.reshape(-1, 2), axis=1)
    depths = points @ cv2.Rodrigues(pose[:3])[0][2] + pose[5]
    return np.where((depths > 0) & np.isfinite(distances), distances, np.inf)
