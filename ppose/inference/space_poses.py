"""Computes poses in space of found objects by their 3D model, for files and pictures."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ppose.errors import DataError
from ppose.inference.poses import Pose
from ppose.visualize import draw_axes

if TYPE_CHECKING:
    from ppose.geometry.object_model import ObjectModel
    from ppose.geometry.pnp import RigidPose


def add_space_poses(
    picture: np.ndarray, poses: Sequence[Pose], model: "ObjectModel | None"
) -> tuple[np.ndarray, list[dict[str, Any]], list[DataError]]:
    """Draw the axes of each object with a pose in space into a picture (H, W, 3) uint8, RGB.

    Also returns each object's entry for files, see `to_record`, and the reasons for missing poses. Without a
    model the picture is unchanged and the entries are empty.
    """
    if model is None:
        return picture, [{} for _ in poses], []
    solved = [_solve(model, pose) for pose in poses]
    axes = [model.project_axes(pose) for pose in solved if not isinstance(pose, DataError)]
    reasons = [pose for pose in solved if isinstance(pose, DataError)]
    return draw_axes(picture, np.reshape(axes, (-1, 4, 2))), [to_record(pose) for pose in solved], reasons


def _solve(model: "ObjectModel", pose: Pose) -> "RigidPose | DataError":
    try:
        return model.solve(pose.keypoints, pose.scores)
    except DataError as error:
        return error


def to_record(solved: "RigidPose | DataError") -> dict[str, Any]:
    """The entry in files: ``pose``, null if there is none; its quaternion has the scalar first.

    covariance is that of rotation vector and translation; inliers are the indexes of the keypoints that the
    pose is computed from; error_px is the root mean square of their distances in pixels.
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
