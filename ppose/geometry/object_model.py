"""Reads a rigid object's keypoints in space and its camera from a file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ppose.errors import DataError
from ppose.files import read_json
from ppose.geometry.pnp import Camera, RigidPose, is_flat, project, solve_pose

_DISTORTIONS = (0, 4, 5, 8, 12, 14)  # allowed numbers of distortion coefficients in OpenCV


@dataclass(frozen=True, eq=False)
class ObjectModel:
    """An object's ``points`` (K, 3), in the order of its keypoints, and the ``camera`` of its images."""

    points: np.ndarray
    camera: Camera

    def solve(self, keypoints: np.ndarray, scores: np.ndarray) -> RigidPose:
        """The pose for keypoints (K, 2) in image pixels with scores (K,); raises as `solve_pose`."""
        return solve_pose(keypoints, scores, self.points, self.camera)

    def project_axes(self, pose: RigidPose) -> np.ndarray:
        """Pixels (4, 2) of the object's origin, and of its x, y and z axis at the object's extent."""
        reach = np.abs(self.points).max()
        return project(np.concatenate([np.zeros((1, 3)), reach * np.eye(3)]), pose, self.camera)


def read_object_model(path: str | Path, names: Sequence[str]) -> ObjectModel:
    """Read a JSON file ``{"keypoints": .., "camera": ..}`` for keypoints of these names.

    ``keypoints`` are [x, y, z] by name, or a list of them in the order of the names. ``camera`` is
    ``{"cameraMatrix": 3 x 3, "distCoeffs": [..]}``, or the name of such a file beside this one, as in SPEED+;
    the distortion is optional. Raises DataError that names the file and the fault.
    """
    path = Path(path)
    content = read_json(path, "3D model")
    missing = [key for key in ("keypoints", "camera") if not isinstance(content, dict) or key not in content]
    if missing:
        raise DataError(f'{path}: expected {{"keypoints": .., "camera": ..}}, it has no {", ".join(missing)}')
    points = _read_points(content["keypoints"], names, path)
    if len(points) < 4 or is_flat(points):
        raise DataError(f"{path}: its {len(points)} keypoints lie in one plane: they determine no pose")
    camera, camera_file = content["camera"], path
    if isinstance(camera, str):
        camera_file = path.parent / camera
        camera = read_json(camera_file, "camera file")
    return ObjectModel(points, _read_camera(camera, camera_file))


def _read_points(given: Any, names: Sequence[str], path: Path) -> np.ndarray:
    if isinstance(given, Mapping):
        unknown = [name for name in names if name not in given]
        if unknown:
            raise DataError(
                f"{path}: no keypoint '{unknown[0]}' ({len(unknown)} of {len(names)} are missing)"
            )
        given = [given[name] for name in names]
    points = _to_array(given)
    if points is None or points.ndim != 2 or points.shape[1] != 3:
        raise DataError(f"{path}: expected keypoints as [x, y, z] in numbers")
    if len(points) != len(names):
        raise DataError(f"{path} has {len(points)} keypoints, the network finds {len(names)}")
    return points


def _read_camera(given: Any, path: Path) -> Camera:
    matrix = _to_array(given.get("cameraMatrix")) if isinstance(given, Mapping) else None
    if matrix is None or matrix.shape != (3, 3) or not _is_of_pinhole(matrix):
        raise DataError(f"{path}: cameraMatrix is not [[fx, 0, cx], [0, fy, cy], [0, 0, 1]] in pixels")
    distortion = _to_array(given.get("distCoeffs") or [])
    if distortion is None or distortion.size not in _DISTORTIONS:
        raise DataError(f"{path}: distCoeffs is {given['distCoeffs']!r}, expected k1, k2, p1, p2, k3")
    return Camera(matrix, distortion.ravel())


def _is_of_pinhole(matrix: np.ndarray) -> bool:
    """Whether a camera's matrix (3, 3) has no entry that OpenCV ignores, such as a skew."""
    others = matrix[[0, 1, 2, 2, 2], [1, 0, 0, 1, 2]]
    return min(matrix[0, 0], matrix[1, 1]) > 0 and bool((others == [0, 0, 0, 0, 1]).all())


def _to_array(given: Any) -> np.ndarray | None:
    """An array of finite numbers; None if it is none."""
    try:
        array = np.array(given, np.float64)
    except (ValueError, TypeError, OverflowError):
        return None
    return array if np.isfinite(array).all() else None
