"""The poses in space of what is found in images, by a 3D model of it: for files and pictures."""

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
    """The picture (H, W, 3 uint8, RGB) with the axes of each thing that has a pose in space.

    Also what files hold of each, see `to_record`, and why there is no pose of those without. Without a model
    the picture is as it was, and files hold nothing.
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
