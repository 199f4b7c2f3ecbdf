"""People on four images, with all that annotations can say of them."""

import json

import cv2
import numpy as np
import pytest

from ppose.formats import make_labels
from ppose.keypoints import get_keypoint_set

SIZE = (320, 240)


def _make_content(names, flip_pairs, skeleton):
    rng = np.random.default_rng(0)
    images = [
        {"id": n, "file_name": f"video{n // 3}/{n:06d}.jpg", "width": SIZE[0], "height": SIZE[1]}
        for n in range(1, 5)
    ]
    people = []
    for number, image in enumerate((1, 2, 2, 3)):  # nobody is on the last
        x, y = 20.5 + 130 * (number % 2), 30.25
        points = np.column_stack([rng.uniform(x, x + 100, len(names)), rng.uniform(y, y + 180, len(names))])
        flags = rng.integers(0, 3, len(names))
        flags[:2] = 2, 1
        points[flags == 0] = 0
        people.append(
            {
                "id": number + 1, "image_id": image, "category_id": 1 + number % 2, "track_id": number % 2,
                "bbox": [x, y, 110.0, 190.0], "area": 5000.0 + number, "iscrowd": 0,
                "keypoints": np.column_stack([points, flags]).ravel().tolist(),
            }
        )  # fmt: skip
    categories = [
        {"id": n, "name": name, "keypoints": list(names), "flip_pairs": flip_pairs, "skeleton": skeleton}
        for n, name in enumerate(("person", "child"), 1)
    ]
    return {"images": images, "annotations": people, "categories": categories}


@pytest.fixture
def labels_of():
    """Labels of four people, two categories, in the order of a built-in set, or of a set of three names."""

    def make(name=None):
        if name is None:
            content = _make_content(("tip", "left_tail", "right_tail"), [[1, 2]], [[1, 2], [1, 3]])
            return make_labels(content, "made", None)
        known = get_keypoint_set(name)
        return make_labels(_make_content(known.names, [], []), "made", known)

    return make


@pytest.fixture
def image_dir(tmp_path):
    """The folder of the labels' images."""
    folder = tmp_path / "images"
    for number in range(1, 5):
        file = folder / f"video{number // 3}" / f"{number:06d}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(file), np.full((SIZE[1], SIZE[0], 3), 40 * number, np.uint8))
    return folder


@pytest.fixture
def write_text(tmp_path):
    """Writes a file of a text or of JSON, below the test's folder."""

    def write(name, content):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            file.write_bytes(content)
        else:
            file.write_text(content if isinstance(content, str) else json.dumps(content))
        return file

    return write
