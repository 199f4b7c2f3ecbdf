"""AP by crowd index: what is wrong in crowded images lowers the AP of these alone."""

import json

import numpy as np
import pytest

from ppose.data import KeypointTopDownCocoDataset
from ppose.errors import DataError
from ppose.keypoints import get_keypoint_set
from ppose.metrics import CrowdPoseMetric

CROWDPOSE14 = get_keypoint_set("crowdpose14")


@pytest.fixture
def annotations(write_coco, tmp_path):
    """Six images with two people each, of all kinds of crowds; the file has no areas, as CrowdPose's."""
    folder = write_coco(tmp_path / "crowdpose", keypoints=14, images=6)
    content = json.loads((folder / "annotations.json").read_text())
    for image, index in zip(content["images"], (0, 0.1, 0.2, 0.7, 0.8, 1.0), strict=True):
        image["crowdIndex"] = index
    for person in content["annotations"]:
        del person["area"]
    (folder / "annotations.json").write_text(json.dumps(content))
    return folder


def evaluate(folder, move=lambda image_id: 0.0):
    dataset = KeypointTopDownCocoDataset("images", "annotations.json", [192, 256], CROWDPOSE14, str(folder))
    metric = CrowdPoseMetric(dataset.annotations, CROWDPOSE14, nms=None)
    points = np.stack([dataset[i]["keypoints"] for i in range(len(dataset))])
    points += np.array([move(image) for image in dataset.image_ids])[:, None, None]
    metric.update(
        points, np.full(points.shape[:2], 0.9), dataset.image_ids, dataset.areas, dataset.bbox_scores
    )
    return metric.compute()


def test_truth_as_prediction_is_all_right(annotations):
    found = evaluate(annotations)
    assert {found[name] for name in ("AP", "AP50", "AR", "AP easy", "AP medium", "AP hard")} == {1.0}


@pytest.mark.parametrize(
    ("kind", "images"), [("AP easy", (1, 2)), ("AP medium", (3, 4)), ("AP hard", (5, 6))]
)
def test_the_kinds_are_told_apart(annotations, kind, images):
    found = evaluate(annotations, move=lambda image: 500.0 * (image in images))
    assert {name: found[name] for name in ("AP easy", "AP medium", "AP hard")} == {
        "AP easy": 1.0, "AP medium": 1.0, "AP hard": 1.0, kind: 0.0,
    }  # fmt: skip
    assert found["AP"] < 1


def test_other_files_and_missing_kinds(annotations):
    file = annotations / "annotations.json"
    content = json.loads(file.read_text())
    for image in content["images"]:
        image["crowdIndex"] = 0.5
    file.write_text(json.dumps(content))
    assert evaluate(annotations)["AP hard"] == -1
    del content["images"][0]["crowdIndex"]
    file.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"annotations\.json: 1 of 6 images have no crowdIndex"):
        evaluate(annotations)
    content["images"][0]["crowdIndex"] = "high"
    file.write_text(json.dumps(content))
    with pytest.raises(DataError, match="crowdIndex is 'high', expected a number"):
        evaluate(annotations)
