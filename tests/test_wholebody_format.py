"""COCO-WholeBody's annotations as those of a part: which parts count, and wrong fields."""

import pytest

from ppose.errors import DataError
from ppose.wholebody_format import join_parts, take_faces, take_hands


def make(**changes):
    """A file of one person whose left hand is labelled."""
    person = {
        "id": 7, "image_id": 1, "keypoints": [0] * 51, "foot_kpts": [0] * 18, "face_kpts": [0] * 204,
        "lefthand_kpts": [3, 4, 2] * 21, "righthand_kpts": [None] * 63, "face_box": [0] * 4,
        "lefthand_box": [1, 2, 3, 4], "righthand_box": [0] * 4, "face_valid": True, "lefthand_valid": True,
        "righthand_valid": True, **changes,
    }  # fmt: skip
    return {"images": [], "annotations": [person]}


def test_parts_without_a_keypoint_are_left_out():
    (hand,) = take_hands(make(), "file")["annotations"]
    assert (hand["id"], hand["image_id"], hand["bbox"]) == ("7 lefthand", 1, [1, 2, 3, 4])
    assert len(hand["keypoints"]) == 63
    with pytest.raises(DataError, match="none of its 1 annotations has a valid face"):
        take_faces(make(), "file")
    with pytest.raises(DataError, match="none of its 1 annotations has a valid lefthand or righthand"):
        take_hands(make(lefthand_valid=False), "file")


@pytest.mark.parametrize(
    ("read", "changes", "words"),
    [
        (join_parts, {"face_kpts": None}, "annotation 7: face_kpts is None, expected numbers"),
        (take_faces, {"face_kpts": "x"}, "annotation 7: face_kpts is 'x', expected numbers"),
        (take_hands, {"lefthand_box": None}, "annotation 7: lefthand_box is None, expected numbers"),
    ],
)
def test_wrong_fields_are_named(read, changes, words):
    with pytest.raises(DataError, match=words):
        read(make(**changes), "file")


def test_texts_are_left_to_the_reader_of_people():
    (hand,) = take_hands(make(lefthand_kpts=["a"] * 63), "file")["annotations"]
    assert hand["keypoints"] == ["a"] * 63
