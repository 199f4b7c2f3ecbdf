"""MPII's release of other structures: one person, and what is an error."""

import cv2
import numpy as np
import pytest
from scipy.io import savemat

from ppose.converters.mpii import convert_mpii
from ppose.errors import DataError


def write_release(folder, images=1, **changes):
    """A release of one person in one image, its numbers doubles as MATLAB's are."""
    point = np.array([(3.0, 5.0, 0.0), (23.0, 45.0, 9.0)], [("x", "O"), ("y", "O"), ("id", "O")])
    person = {"annopoints": {"point": point}, "scale": 2.0, "objpos": {"x": 13.0, "y": 25.0}, **changes}
    annotated = {"image": {"name": "a.jpg"}, "annorect": person}
    savemat(folder / "a.mat", {"RELEASE": {"annolist": annotated, "img_train": [1.0] * images}})
    cv2.imwrite(str(folder / "a.jpg"), np.zeros((60, 80, 3), np.uint8))
    return folder / "a.mat"


def test_a_release_of_one_person(tmp_path):
    content = convert_mpii(write_release(tmp_path), "train", None)
    assert content["images"] == [{"id": 0, "file_name": "images/a.jpg", "width": 80, "height": 60}]
    (person,) = content["annotations"]
    assert person["num_keypoints"] == 2
    assert person["bbox"] == pytest.approx([13 - 1.2 * 19 / 2, 25 - 1.2 * 39 / 2, 1.2 * 19, 1.2 * 39])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"images": 3}, "annolist has 1 images, img_train 3"),
        ({"scale": "large"}, "image 0 is not as in MPII's release: could not convert"),
        ({"annopoints": {"point": {"y": 1.0, "id": 2.0}}}, "image 0 is not as in MPII's release"),
        ({"annopoints": {"point": {"x": [], "y": 1.0, "id": 2.0}}}, "image 0 is not as in MPII's release"),
        ({"annopoints": {"point": {"x": 1.0, "y": 1.0, "id": 16.0}}}, "a keypoint has the id 16, expected"),
    ],
)
def test_a_release_of_another_structure(tmp_path, changes, words):
    with pytest.raises(DataError) as error:
        convert_mpii(write_release(tmp_path, **changes), "train", None)
    assert words in str(error.value)
    assert "\n" not in str(error.value)
