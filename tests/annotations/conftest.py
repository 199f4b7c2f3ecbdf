"""Six people on four images, in COCO's plainest form, that each test turns into another kind."""

import copy
import json

import numpy as np
import pytest

from ppose.data import KeypointTopDownCocoDataset
from ppose.keypoints import get_keypoint_set
from ppose.metrics import CocoKeypointMetric

COCO17 = get_keypoint_set("coco17")
SIZES = {36: (481, 640), 49: (381, 500), 86: (512, 640), 113: (416, 640)}
ON_IMAGE = (36, 49, 49, 86, 113, 113)


def _make_content():
    rng = np.random.default_rng(0)
    people = []
    for number, image in enumerate(ON_IMAGE):
        x, y, width, height = 20.0 + 150 * (number % 2), 30.0, 140.0, 300.0 + 10 * number
        points = np.column_stack([rng.uniform(x, x + width, 17), rng.uniform(y, y + height, 17)]).round(2)
        flags = rng.integers(0, 3, 17)
        points[flags == 0] = 0
        people.append(
            {
                "id": 100 + number, "image_id": image, "category_id": 1, "iscrowd": 0,
                "area": width * height * 0.53, "bbox": [x, y, width, height],
                "keypoints": np.column_stack([points, flags]).ravel().tolist(),
                "num_keypoints": int((flags > 0).sum()),
            }
        )  # fmt: skip
    images = [
        {"id": i, "file_name": f"{i:012d}.jpg", "width": width, "height": height}
        for i, (width, height) in SIZES.items()
    ]
    categories = [{"id": 1, "name": "person", "keypoints": list(COCO17.names)}]
    return {"images": images, "annotations": people, "categories": categories}


@pytest.fixture
def content():
    """The content of an annotation file."""
    return _make_content()


@pytest.fixture
def open_dataset(tmp_path):
    """Writes content as a file, and makes a dataset of it."""

    def _open(content, keypoint_set=COCO17, **options):
        (tmp_path / "ann.json").write_text(json.dumps(content))
        arguments = {
            "dataset_dir": str(tmp_path), "image_dir": "images", "anno_path": "ann.json",
            "trainsize": [192, 256], "keypoint_set": keypoint_set, **options,
        }  # fmt: skip
        return KeypointTopDownCocoDataset(**arguments)

    return _open


@pytest.fixture
def measure():
    """AP of the same poses, some of them far off, on whoever a dataset has; by `CocoKeypointMetric`."""
    truth = _make_content()["annotations"]
    noise = np.random.default_rng(1).normal(0, 1, (len(truth), 17, 2)) * np.arange(6)[:, None, None] * 3

    def _measure(dataset, keypoint_set=COCO17):
        metric = CocoKeypointMetric(dataset.annotations, keypoint_set)
        people = dataset.annotations.people
        numbers = [int(float(own)) - 100 for own in people.ids[people.used].tolist()]
        poses = np.array([truth[n]["keypoints"] for n in numbers]).reshape(-1, 17, 3)[..., :2]
        metric.update(
            poses + noise[numbers],
            np.tile(np.linspace(0.9, 0.4, 6)[numbers][:, None], (1, 17)),
            image_id=dataset.image_ids,
            area=dataset.areas,
            bbox_score=dataset.bbox_scores,
            category_id=dataset.category_ids,
        )
        return metric.compute()["AP"], metric.results()

    _measure.base = copy.deepcopy(truth)
    return _measure
