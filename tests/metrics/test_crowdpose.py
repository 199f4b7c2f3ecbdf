"""AP by crowd index: what is wrong in crowded images lowers the AP of these alone."""

import json

import numpy as np
import pytest
from coco_judge import judge

from ppose.annotations import read_annotations
from ppose.data import KeypointTopDownCocoDataset
from ppose.errors import DataError
from ppose.keypoints import get_keypoint_set
from ppose.metrics import CocoKeypointMetric, CrowdPoseMetric

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
def test_the_kinds_are_distinguished(annotations, kind, images):
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


def test_the_files_own_counts_are_the_judges(reference):
    """COCO's people as 14 keypoints: of 39 all is hidden, whom CrowdPose's count (v = 2) leaves out.

    pycocotools goes by the file's count; counted anew, these 39 would be missed or found as others are.
    """
    content = json.loads((reference / "data/coco_dev/annotations/person_keypoints.json").read_text())
    rng, people, results = np.random.default_rng(0), [], []
    for person in content["annotations"]:
        points = np.array(person["keypoints"], float).reshape(17, 3)[[*range(5, 17), 0, 1]]
        if person["iscrowd"] or not points[:, 2].any():
            continue
        points[:, 2] = np.where(points[:, 2] > 0, 1 if len(people) % 8 == 0 and len(people) < 312 else 2, 0)
        count = int((points[:, 2] == 2).sum())
        people.append({**person, "keypoints": points.ravel().tolist(), "num_keypoints": count})
        points[:, :2] += rng.normal(0, rng.choice([1, 5, 25]), (14, 2))
        found = {"image_id": person["image_id"], "keypoints": points.ravel().tolist(), "score": rng.random()}
        results.append({**found, "category_id": 1})
    assert sum(person["num_keypoints"] == 0 for person in people) == 39
    content = {**content, "annotations": people, "categories": [{"id": 1, "name": "person"}]}
    own = CocoKeypointMetric(read_annotations(content, CROWDPOSE14), CROWDPOSE14).measure(results)
    for name, value in judge(content, results, CROWDPOSE14.sigmas).items():
        assert own[name] == pytest.approx(value, abs=1e-9)
    for person in people:
        del person["num_keypoints"]
    recounted = CocoKeypointMetric(read_annotations(content, CROWDPOSE14), CROWDPOSE14).measure(results)
    assert abs(recounted["AP"] - own["AP"]) > 0.001
