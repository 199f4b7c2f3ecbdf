"""Poses in space: from exact, noisy and wrong keypoints, and what is refused."""

import json

import cv2
import numpy as np
import pytest

from ppose.errors import DataError
from ppose.geometry.object_model import read_object_model
from ppose.geometry.pnp import Camera, RigidPose, project, solve_pose, to_quaternion

POINTS = np.array(
    [
        *([0.4, 0.3, 0.2], [-0.4, 0.3, 0.2], [-0.4, -0.3, 0.2], [0.4, -0.3, 0.2]),
        *([0.3, 0.3, -0.2], [-0.3, 0.3, -0.2], [-0.3, -0.3, -0.2], [0.3, -0.3, -0.2]),
        *([0, 0.7, 0], [-0.6, 0, 0.1], [0.5, 0.2, -0.3]),
    ]
)
CAMERA = Camera(
    np.array([[600.0, 0, 320], [0, 610, 240], [0, 0, 1]]), np.array([0.1, -0.05, 0.001, -0.002, 0.01])
)


def make_pose(seed):
    rng = np.random.default_rng(seed)
    vector = rng.normal(size=3)
    return RigidPose(
        quaternion=to_quaternion(vector),
        translation=np.array([*rng.uniform(-0.3, 0.3, 2), rng.uniform(3, 5)]),
        covariance=np.zeros((6, 6)), inliers=np.ones(11, bool), error=0.0,
    )  # fmt: skip


def angle_between(first, second):
    return np.rad2deg(2 * np.arccos(min(1, abs(first @ second))))


def test_a_projection_is_that_of_a_pinhole_with_the_lens_of_the_textbook():
    """Brown's model, as OpenCV's documentation writes it, by hand."""
    pose = make_pose(0)
    w, x, y, z = pose.quaternion
    rotation = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
    seen = POINTS @ rotation.T + pose.translation
    u, v = (seen[:, :2] / seen[:, 2:]).T
    k1, k2, p1, p2, k3 = CAMERA.distortion
    r = u * u + v * v
    radial = 1 + k1 * r + k2 * r**2 + k3 * r**3
    lens = [
        u * radial + 2 * p1 * u * v + p2 * (r + 2 * u * u),
        v * radial + p1 * (r + 2 * v * v) + 2 * p2 * u * v,
    ]
    expected = np.array([600 * lens[0] + 320, 610 * lens[1] + 240]).T
    np.testing.assert_allclose(project(POINTS, pose, CAMERA), expected, atol=1e-8)


@pytest.mark.parametrize("seed", range(8))
def test_exact_keypoints_give_the_pose_back(seed):
    pose = make_pose(seed)
    found = solve_pose(project(POINTS, pose, CAMERA), np.ones(11), POINTS, CAMERA)
    np.testing.assert_allclose(found.translation, pose.translation, atol=1e-6)
    assert angle_between(found.quaternion, pose.quaternion) < 1e-4
    assert found.inliers.all()
    assert found.error < 1e-5


def test_outliers_and_low_scores_are_left_out():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        pose = make_pose(seed)
        keypoints = project(POINTS, pose, CAMERA) + rng.normal(0, 0.5, (11, 2))
        wrong = rng.choice(11, 4, replace=False)
        keypoints[wrong[:3]] += rng.uniform(40, 80, (3, 2))
        keypoints[wrong[3]] = np.nan
        found = solve_pose(keypoints, np.ones(11), POINTS, CAMERA)
        assert not found.inliers[wrong].any()
        assert np.linalg.norm(found.translation - pose.translation) / pose.translation[2] < 0.02
        assert angle_between(found.quaternion, pose.quaternion) < 3


def test_scores_weigh_the_keypoints():
    """A keypoint that is 3 pixels off pulls the pose less the lower its score."""
    pose = make_pose(3)
    keypoints = project(POINTS, pose, CAMERA)
    keypoints[8] += [3, 0]
    errors = []
    for score in (0.25, 1.0):
        scores = np.ones(11)
        scores[8] = score
        found = solve_pose(keypoints, scores, POINTS, CAMERA, tolerance=10)
        errors.append(angle_between(found.quaternion, pose.quaternion))
        # Least squares: no small step has a lower weighted sum.
        base = cv2.Rodrigues(found.rotation_vector)[0]
        lowest = weighted_sum(keypoints, scores, found)
        for step in np.concatenate([np.eye(3), -np.eye(3)]) * 1e-4:
            turned = RigidPose(
                to_quaternion(cv2.Rodrigues(step)[0] @ base), found.translation, found.covariance,
                found.inliers, 0.0,
            )  # fmt: skip
            assert weighted_sum(keypoints, scores, turned) >= lowest
    assert errors[0] < 0.5 * errors[1]


def weighted_sum(keypoints, scores, pose):
    return (scores * ((keypoints - project(POINTS, pose, CAMERA)) ** 2).sum(axis=1)).sum()


def test_the_covariance_is_how_much_poses_differ_under_noise():
    pose = make_pose(5)
    exact = project(POINTS, pose, CAMERA)
    found = [
        solve_pose(
            exact + np.random.default_rng(seed).normal(0, 0.5, exact.shape), np.ones(11), POINTS, CAMERA
        )
        for seed in range(150)
    ]
    spread = np.cov(
        np.array([np.concatenate([p.rotation_vector, p.translation]) for p in found]), rowvar=False
    )
    mean = np.mean([p.covariance for p in found], axis=0)
    np.testing.assert_allclose(np.sqrt(mean.diagonal()), np.sqrt(spread.diagonal()), rtol=0.2)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([0, 1, 4], "there are 3 keypoints with a score of 0.2 or more, a pose needs 4"),
        ([], "there are 0 keypoints"),
        (
            [0, 1, 2, 3],
            "the 4 keypoints with a score of 0.2 or more lie in one plane, which leaves two poses",
        ),
    ],
)
def test_too_few_and_flat_keypoints(rows, words):
    pose = make_pose(1)
    scores = np.where(np.isin(np.arange(11), rows), 1.0, 0.0)
    with pytest.raises(DataError) as error:
        solve_pose(project(POINTS, pose, CAMERA), scores, POINTS, CAMERA)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_nothing_but_outliers():
    for seed in range(20):
        keypoints = np.random.default_rng(seed).uniform(0, 480, (11, 2))
        with pytest.raises(DataError, match=r"no pose fits: \d of 11 keypoints agree on one"):
            solve_pose(keypoints, np.ones(11), POINTS, CAMERA)


def write(folder, **changes):
    camera = {"cameraMatrix": CAMERA.matrix.tolist(), "distCoeffs": CAMERA.distortion.tolist()}
    content = {"keypoints": POINTS.tolist(), "camera": camera, **changes}
    (folder / "model.json").write_text(json.dumps({k: v for k, v in content.items() if v is not None}))
    return folder / "model.json"


NAMES = [str(index) for index in range(11)]


def test_a_model_file_by_names_by_order_and_with_a_camera_file(tmp_path):
    by_order = read_object_model(write(tmp_path), NAMES)
    reversed_names = {str(index): POINTS[index].tolist() for index in reversed(range(11))}
    (tmp_path / "camera.json").write_text(json.dumps({"Nu": 640, "cameraMatrix": CAMERA.matrix.tolist()}))
    by_name = read_object_model(write(tmp_path, keypoints=reversed_names, camera="camera.json"), NAMES)
    np.testing.assert_array_equal(by_order.points, POINTS)
    np.testing.assert_array_equal(by_name.points, POINTS)
    np.testing.assert_array_equal(by_order.camera.distortion, CAMERA.distortion)
    assert by_name.camera.distortion.size == 0
    pose = make_pose(2)
    found = by_order.solve(project(POINTS, pose, CAMERA), np.ones(11))
    axes = by_order.project_axes(found)
    np.testing.assert_allclose(axes[0], project(np.zeros((1, 3)), pose, CAMERA)[0], atol=1e-3)
    np.testing.assert_allclose(axes[3], project(np.array([[0, 0, 0.7]]), pose, CAMERA)[0], atol=1e-3)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"camera": None}, "it has no camera"),
        ({"keypoints": None}, "it has no keypoints"),
        ({"keypoints": POINTS[:5].tolist()}, "has 5 keypoints, the network finds 11"),
        ({"keypoints": [[1, 2]] * 11}, "expected keypoints as [x, y, z]"),
        ({"keypoints": {"0": [0, 0, 1]}}, "no keypoint '1' (10 of 11 are missing)"),
        ({"keypoints": (POINTS * [1, 1, 0]).tolist()}, "its 11 keypoints lie in one plane"),
        ({"camera": "nowhere.json"}, "camera file not found"),
        ({"camera": {"cameraMatrix": [[1, 2], [3, 4]]}}, "cameraMatrix is not [[fx, 0, cx]"),
        (
            {"camera": {"cameraMatrix": [[800, 5, 1], [0, 800, 1], [0, 0, 1]]}},
            "cameraMatrix is not [[fx, 0, cx]",
        ),
        ({"camera": {"cameraMatrix": CAMERA.matrix.tolist(), "distCoeffs": [1, 2]}}, "distCoeffs is [1, 2]"),
    ],
)
def test_a_wrong_model_file(tmp_path, changes, words):
    with pytest.raises(DataError) as error:
        read_object_model(write(tmp_path, **changes), NAMES)
    assert words in str(error.value)
    assert str(tmp_path) in str(error.value)
    assert "\n" not in str(error.value)


def test_keypoints_at_one_place_have_no_pose():
    """As of a network that has learnt nothing; far away all of them would agree."""
    for place in (500.0, 501.0):
        with pytest.raises(
            DataError, match="keypoints that agree on a pose are all at one place in the image"
        ):
            solve_pose(np.full((11, 2), place), np.ones(11), POINTS, CAMERA)


def test_what_is_not_finite_is_left_out_and_other_shapes_are_refused():
    pose = make_pose(4)
    keypoints, scores, points = project(POINTS, pose, CAMERA), np.ones(11), POINTS.copy()
    keypoints[0], scores[1], scores[2], points[3] = np.nan, np.nan, np.inf, np.nan
    found = solve_pose(keypoints, scores, points, CAMERA)
    assert np.flatnonzero(~found.inliers).tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(found.translation, pose.translation, atol=1e-6)
    with pytest.raises(DataError, match=r"got keypoints \(5, 2\), scores \(11,\) and points \(11, 3\)"):
        solve_pose(keypoints[:5], scores, points, CAMERA)


@pytest.mark.parametrize("seed", range(40))
def test_numbers_beyond_all_images_have_no_pose_or_one_of_numbers(seed):
    keypoints = project(POINTS, make_pose(seed), CAMERA) * 1e30
    try:
        pose = solve_pose(keypoints[:6], np.ones(6), POINTS[:6], CAMERA)
    except DataError:
        return
    assert np.isfinite(pose.covariance).all()
