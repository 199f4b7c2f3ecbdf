"""What a Predictor returns, as other programs have it."""

import numpy as np
import pytest

from ppose.annotations import read_annotations
from ppose.inference.poses import Pose, Poses
from ppose.inference.predictor import Predictor
from ppose.keypoints import get_keypoint_set


@pytest.fixture
def poses():
    """Two people of COCO's keypoints in an image of 200 x 100; scores from 0 to 1 in steps of 1/16."""
    rng, names = np.random.default_rng(0), get_keypoint_set("coco17")
    scores = np.arange(17) / 16
    people = [
        Pose(rng.uniform(2, 31, (17, 2)), scores, float(scores.mean()), np.array([1.0, 2.0, 31.0, 52.0]))
        for _ in range(2)
    ]
    return Poses(names, (200, 100), people)


def test_a_predictor_gives_them_with_names_and_size(model_dir, crowd):
    image, points, boxes = crowd
    found = Predictor.from_dir(model_dir, runtime="onnxruntime")(image, boxes)
    assert isinstance(found, list)
    assert (found.size, found.keypoint_set.names, len(found)) == ((320, 240), ("red", "blue"), 2)
    assert [row["score"] for row in found.to_rows()] == pytest.approx([pose.score for pose in found])
    np.testing.assert_allclose([found.to_rows()[1][f"blue_{axis}"] for axis in "xy"], points[1, 1], atol=2)


def test_rows_name_every_number(poses):
    row = poses.to_rows()[1]
    assert len(row) == 5 + 3 * 17
    assert [row[f"box_{part}"] for part in ("x", "y", "width", "height")] == [1, 2, 30, 50]
    assert (row["left_knee_x"], row["left_knee_score"]) == (poses[1].keypoints[13, 0], 13 / 16)
    pandas = pytest.importorskip("pandas")
    table = poses.to_dataframe()
    assert isinstance(table, pandas.DataFrame)
    assert table["left_knee_x"].tolist() == [pose.keypoints[13, 0] for pose in poses]
    assert len(Poses(poses.keypoint_set, (1, 1)).to_dataframe()) == 0


def test_coco_is_read_back(poses):
    content = poses.to_coco("a.jpg", 7, threshold=0.5)
    read = read_annotations(content, poses.keypoint_set)
    assert read.report() is None  # nothing was filled in, put in order or left out
    assert (read.images.file_names, read.images.ids.tolist(), read.images.sizes.tolist()) == (
        ["a.jpg"], [7], [[200, 100]],
    )  # fmt: skip
    assert read.people.visibility[0].tolist() == [0] * 8 + [2] * 9
    for row, pose in enumerate(poses):
        np.testing.assert_allclose(read.people.keypoints[row, 8:], pose.keypoints[8:])
    np.testing.assert_allclose(read.people.bboxes_xywh, [[1, 2, 30, 50]] * 2)
    assert content["categories"][0]["skeleton"][0] == [1, 2]  # COCO counts from 1
    none = Poses(poses.keypoint_set, (200, 100)).to_coco()
    assert (none["annotations"], len(none["images"])) == ([], 1)


def test_labelme_groups_a_persons_shapes(poses):
    content = poses.to_labelme("a.jpg", threshold=0.5)
    assert (content["imagePath"], content["imageWidth"], content["imageHeight"]) == ("a.jpg", 200, 100)
    second = [shape for shape in content["shapes"] if shape["group_id"] == 2]
    assert second[0]["points"] == [[1, 2], [31, 52]]
    points = {shape["label"]: shape["points"][0] for shape in second if shape["shape_type"] == "point"}
    assert list(points) == list(poses.keypoint_set.names[8:])
    np.testing.assert_allclose(points["nose" if "nose" in points else "left_hip"], poses[1].keypoints[11])


def test_supervision_has_the_same_numbers(poses):
    supervision = pytest.importorskip("supervision")
    found = poses.to_supervision()
    assert isinstance(found, supervision.KeyPoints)
    np.testing.assert_allclose(found.xy, [pose.keypoints for pose in poses], rtol=1e-6)
    np.testing.assert_allclose(found.keypoint_confidence, [pose.scores for pose in poses], rtol=1e-6)
    assert len(Poses(poses.keypoint_set, (1, 1)).to_supervision()) == 0
