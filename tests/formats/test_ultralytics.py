"""Pose labels for Ultralytics, judged by its own loader.

It brings PyTorch and another OpenCV, so it is to be in an environment of its own, whose Python
ULTRALYTICS_PYTHON names; without it the test skips.
"""

import json
import os
import shutil
import subprocess

import numpy as np
import pytest

from ppose.cli import run_command
from ppose.formats import read_labels

_LOAD = """
import json, sys
from ultralytics.data.dataset import YOLODataset
from ultralytics.data.utils import check_det_dataset
data = check_det_dataset(sys.argv[1])
dataset = YOLODataset(img_path=data["val"], data=data, task="pose", augment=False, imgsz=64)
print("LABELS", json.dumps([
    {"file": label["im_file"], "size": list(label["shape"])[::-1], "classes": label["cls"].ravel().tolist(),
     "boxes": label["bboxes"].tolist(), "keypoints": label["keypoints"].tolist()}
    for label in dataset.labels
]))
print("FLIP", json.dumps([data["flip_idx"], list(data["kpt_shape"])]))
"""


@pytest.fixture
def load(tmp_path):
    """What Ultralytics makes of a folder with a data.yaml: labels an image, flip_idx and kpt_shape."""
    python = os.environ.get("ULTRALYTICS_PYTHON")
    if not python:
        pytest.skip("ULTRALYTICS_PYTHON names no Python with ultralytics")

    def _load(folder):
        settings = {**os.environ, "YOLO_CONFIG_DIR": str(tmp_path), "YOLO_OFFLINE": "true"}
        done = subprocess.run(
            [python, "-c", _LOAD, folder / "data.yaml"], capture_output=True, text=True, env=settings
        )
        assert done.returncode == 0, done.stderr
        lines = dict(
            line.split(" ", 1) for line in done.stdout.splitlines() if line[:5] in ("LABEL", "FLIP ")
        )
        return json.loads(lines["LABELS"]), json.loads(lines["FLIP"])

    return _load


@pytest.mark.heavy
def test_labels_of_real_people_are_read_as_they_are_written(reference, load, tmp_path):
    source = reference / "data" / "coco_dev"
    folder = tmp_path / "yolo"
    shutil.copytree(source / "images", folder / "images")  # links are followed, and labels not found there
    run_command(
        "convert", [str(source / "annotations" / "person_keypoints.json"), str(folder), "--to", "yolo"]
    )
    written = read_labels(folder, "yolo")
    theirs, (flip_indices, shape) = load(folder)
    assert flip_indices == written.keypoint_set.flip_indices.tolist()
    assert shape == [17, 3]
    by_name = {label["file"].rpartition("/")[2]: label for label in theirs}
    people, images = written.people, written.annotations.images
    assert len(by_name) == len(images)
    compared = 0
    for row, name in enumerate(images.file_names):
        label = by_name[name.rpartition("/")[2]]
        assert label["size"] == images.sizes[row].tolist()
        rows = np.flatnonzero(people.images == row)
        assert len(rows) == len(label["boxes"])
        size = np.array(label["size"])
        middle, extent = np.split(np.array(label["boxes"]).reshape(-1, 4), 2, axis=1)
        boxes = np.concatenate([(middle - extent / 2) * size, extent * size], axis=1)
        points = np.array(label["keypoints"]).reshape(-1, 17, 3)
        # Theirs are float32, in the file's order, but for people who are there twice.
        np.testing.assert_allclose(boxes, people.bboxes_xywh[rows], atol=1e-3)
        np.testing.assert_array_equal(points[..., 2], people.visibility[rows])
        seen = people.visibility[rows] > 0
        np.testing.assert_allclose((points[..., :2] * size)[seen], people.keypoints[rows][seen], atol=1e-3)
        compared += seen.sum()
    assert compared > 3000
