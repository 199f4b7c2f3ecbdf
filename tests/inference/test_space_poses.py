"""Poses in space in what inference writes: files, pictures, videos; and a bad `--pnp`."""

import json
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import runs

from ppose.data.synthetic import satellite
from ppose.geometry.object_model import read_object_model
from ppose.geometry.pnp import RigidPose, project, to_quaternion
from ppose.inference.pose_files import ImageFiles, write_poses
from ppose.inference.predictor import Pose
from ppose.inference.tracking import Tracker
from ppose.inference.video import process_video
from ppose.inference.video_files import VideoFile
from ppose.keypoints import make_keypoint_set
from ppose.visualize import draw_axes

SET = make_keypoint_set("satellite", satellite.NAMES, [], can_flip=False)


@pytest.fixture
def model(tmp_path):
    (tmp_path / "model.json").write_text(json.dumps(satellite.describe_model()))
    return read_object_model(tmp_path / "model.json", SET.names)


@pytest.fixture
def scene(tmp_path, model):
    """Two grey images; a pose in space; and a predictor that finds its keypoints in each, then nothing."""
    (tmp_path / "images").mkdir()
    files = [tmp_path / "images" / name for name in ("a.png", "b.png")]
    for file in files:
        cv2.imwrite(str(file), np.full((160, 192, 3), 90, np.uint8))
    pose = RigidPose(
        to_quaternion([0.3, 0.4, 0.1]), np.array([0.1, 0.05, 4.0]), np.zeros((6, 6)), np.ones(11, bool), 0.0
    )
    points = project(model.points, pose, model.camera)
    box = np.array([20.0, 20, 160, 140])

    class Predictor:
        keypoint_set, batch_size, callers, found = SET, 1, 1, 0

        def cut_out(self, image, boxes):
            return [{}], image.shape[1::-1]

        def find_poses(self, samples):
            scores = np.full(11, 0.9 if self.found == 0 else 0.01)
            self.found += 1
            return [Pose(points, scores, float(scores.mean()), box)]

    return SimpleNamespace(files=files, pose=pose, predictor=Predictor())


def test_files_and_pictures_have_the_pose_in_space(tmp_path, model, scene, caplog):
    folder = tmp_path / "out"
    images = ImageFiles(scene.files)
    write_poses(images, scene.predictor, folder, threshold=2, save_json=True, model=model)
    first, second = json.loads((folder / "keypoints.json").read_text())
    np.testing.assert_allclose(first["pose"]["translation"], scene.pose.translation, atol=1e-5)
    np.testing.assert_allclose(first["pose"]["quaternion"], scene.pose.quaternion, atol=1e-5)
    assert first["pose"]["inliers"] == list(range(11))
    assert np.shape(first["pose"]["covariance"]) == (6, 6)
    assert second["pose"] is None
    assert "b.png: no pose in space: there are 0 keypoints" in caplog.text
    drawn = cv2.imread(str(folder / "a.png"))[..., ::-1]
    grey = np.full_like(drawn, 90)
    np.testing.assert_array_equal(drawn, draw_axes(grey, model.project_axes(scene.pose)[None]))
    np.testing.assert_array_equal(cv2.imread(str(folder / "b.png")), grey)


def test_axes_are_red_green_and_blue(model, scene):
    canvas = draw_axes(np.zeros((160, 192, 3), np.uint8), model.project_axes(scene.pose)[None])
    axes = model.project_axes(scene.pose)
    for channel, end in enumerate(axes[1:]):
        x, y = ((axes[0] + end) / 2).round().astype(int)
        assert canvas[y - 1 : y + 2, x - 1 : x + 2].reshape(-1, 3).max(axis=0).argmax() == channel


def test_a_video_has_them_too(tmp_path, model, scene):
    writer = cv2.VideoWriter(str(tmp_path / "v.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (192, 160))
    for _ in range(2):
        writer.write(np.full((160, 192, 3), 90, np.uint8))
    writer.release()
    process_video(
        VideoFile(tmp_path / "v.avi"), scene.predictor, None, Tracker(SET.sigmas), tmp_path / "o.mp4",
        threshold=0.2, save_json=True, model=model,
    )  # fmt: skip
    lines = [json.loads(line) for line in (tmp_path / "o.jsonl").read_text().splitlines()]
    np.testing.assert_allclose(
        lines[0]["people"][0]["pose"]["translation"], scene.pose.translation, atol=1e-5
    )
    assert lines[1]["people"][0]["pose"] is None


def test_a_model_of_other_keypoints_is_one_line(run_script, model, scene, model_dir, tmp_path):
    result = run_script(
        "deploy/infer.py", "--model_dir", model_dir, "--image_file", scene.files[0],
        "--pnp", tmp_path / "model.json", "--output_dir", tmp_path / "out",
    )  # fmt: skip
    runs.assert_one_line(result, "model.json: no keypoint 'red' (2 of 2 are missing)")
    result = run_script(
        "deploy/infer.py", "--model_dir", model_dir, "--image_file", scene.files[0],
        "--pnp", tmp_path / "none.json", "--output_dir", tmp_path / "out",
    )  # fmt: skip
    runs.assert_one_line(result, "3D model not found")
