"""People whose keypoints lie far apart, and errors that are planted among what was found of them."""

import json

import cv2
import numpy as np
import pytest

from ppose.annotations import read_annotations
from ppose.keypoints import get_keypoint_set

COCO17 = get_keypoint_set("coco17")


@pytest.fixture
def write_people():
    """Content of an annotation file: a number of images of 3 people, each keypoint far from all others."""

    def write(images=40, seed=0):
        rng = np.random.default_rng(seed)
        content = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "person"}]}
        for image in range(1, images + 1):
            content["images"].append({"id": image, "file_name": f"{image}.jpg", "width": 900, "height": 400})
            for person in range(3):
                cells = rng.permutation(25)[:17]
                points = np.column_stack([cells % 5, cells // 5]) * [50, 60] + rng.uniform(0, 8, (17, 2))
                points += [300 * person + 10, 20]
                seen = np.where(rng.random(17) < 0.8, 2, 0)
                seen[0] = 2
                box = [300 * person, 0, 270, 320]
                content["annotations"].append(
                    {
                        "id": 100 * image + person, "image_id": image, "category_id": 1, "iscrowd": 0,
                        "bbox": box, "area": 270 * 320 * 0.5, "num_keypoints": int((seen > 0).sum()),
                        "keypoints": np.column_stack([points, seen]).ravel().tolist(),
                    }
                )  # fmt: skip
        return content

    return write


@pytest.fixture
def as_results():
    """Results of what an annotation file's people are, with scores that fall."""

    def convert(content, points=None):
        people = read_annotations(content, COCO17).people
        points = people.keypoints if points is None else points
        triplets = np.dstack([points, np.full(points.shape[:2], 0.9)]).reshape(len(points), -1)
        return [
            {"image_id": a["image_id"], "category_id": 1, "keypoints": flat, "score": 0.9 - 0.0001 * index}
            for index, (a, flat) in enumerate(zip(content["annotations"], triplets.tolist(), strict=True))
        ]

    return convert


@pytest.fixture
def people_folder(write_people, as_results, tmp_path):
    """A dataset with pictures, one of them missing, one with a name that is code; and two results files."""
    content = write_people(images=4)
    (tmp_path / "images").mkdir()
    for image in content["images"][:3]:
        cv2.imwrite(str(tmp_path / "images" / image["file_name"]), np.full((400, 900, 3), 90, np.uint8))
    name = '<script>alert("1")<script>.jpg'
    (tmp_path / "images" / "1.jpg").rename(tmp_path / "images" / name)
    content["images"][0]["file_name"] = name
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    results = as_results(content)
    (tmp_path / "good.json").write_text(json.dumps(results))
    for result in results:
        result["keypoints"] = (np.array(result["keypoints"]) + 9).tolist()
    (tmp_path / "worse.json").write_text(json.dumps(results))
    return tmp_path
