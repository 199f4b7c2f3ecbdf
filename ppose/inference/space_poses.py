"""The poses in space of what is found in images, by a 3D model of it: for files and pictures."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ppose.errors import DataError
from ppose.geometry.object_model import ObjectModel
from ppose.geometry.pnp import RigidPose
from ppose.inference.poses import Pose
from ppose.visualize import draw_axes


def solve_poses(model: ObjectModel, poses: Sequence[Pose]) -> list[RigidPose | DataError]:
    """The pose in space of each, or why there is none."""
    return [_solve(model, pose) for pose in poses]


def _solve(model: ObjectModel, pose: Pose) -> RigidPose | DataError:
    try:
        return model.solve(pose.keypoints, pose.scores)
    except DataError as error:
        return error


def to_record(solved: RigidPose | DataError) -> dict[str, Any]:
    """What files hold: ``pose``, null where there is none; its quaternion has the scalar first.

    covariance is that of rotation vector and translation, inliers the indexes of the keypoints that the pose
    is from, error_px the root mean square of their distances.
    """
    if isinstance(solved, DataError):
        return {"pose": None}
    pose = {
        "quaternion": solved.quaternion.tolist(),
        "translation": solved.translation.tolist(),
        "covariance": solved.covariance.tolist(),
        "inliers": np.flatnonzero(solved.inliers).tolist(),
        "error_px": solved.error,
    }
    return {"pose": pose}


def draw_space_axes(
    image: np.ndarray, model: ObjectModel, solved: Sequence[RigidPose | DataError]
) -> np.ndarray:
    """A copy of the image (H, W, 3 uint8, RGB) with the axes of each thing that has a pose."""
    axes = [model.project_axes(pose) for pose in solved if isinstance(pose, RigidPose)]
    return draw_axes(image, np.reshape(axes, (-1, 4, 2)))
