"""Annotation files that are wrong: one error that names the place."""

import numpy as np
import pytest
from annotations.changes import of_people, triplets

from ppose.annotations import read_annotations
from ppose.errors import DataError
from ppose.keypoints import get_keypoint_set, make_keypoint_set


def test_names_that_cannot_be_matched_show_both_lists(content, open_dataset):
    content["categories"][0]["keypoints"][3] = "antenna"
    with pytest.raises(DataError, match=r"its keypoints are nose, .*antenna.*'coco17' are nose, left_eye, "):
        open_dataset(content)


def test_an_id_of_two_files_is_an_error_with_both(content, open_dataset):
    content["images"][2]["id"] = 36
    with pytest.raises(
        DataError, match=r"image id 36 stands for two files, 000000000036.jpg and 000000000086"
    ):
        open_dataset(content)


def test_two_exports_put_together_are_an_error_where_sizes_or_categories_differ(content, open_dataset):
    """Videos' frames have the same names; categories are numbered from 1 by everybody."""
    again = {**content["images"][0], "width": 1920, "height": 1080}
    with pytest.raises(DataError, match=r"36 stands for two sizes of 0+36.jpg, 481 x 640 and 1920 x 1080"):
        open_dataset({**content, "images": [*content["images"], again]})
    (person,) = content["categories"]
    horse = {"id": 1, "name": "horse", "keypoints": person["keypoints"][::-1]}
    for other in (horse, {**horse, "name": "person"}, {"id": 1, "name": "ball"}):
        with pytest.raises(DataError, match=r"category id 1 stands for person and (horse|person|ball)"):
            open_dataset({**content, "categories": [person, other]})


def test_ids_that_match_no_image_are_an_error(content, open_dataset):
    of_people(lambda p: p.update(image_id=f"{p['image_id']:012d}.jpg"))(content)
    with pytest.raises(
        DataError, match=r"100 is of image 0+36.jpg, which is not listed; .* have ids such as 36"
    ):
        open_dataset(content)


def test_keypoints_by_coordinate_are_not_taken_for_keypoints_by_point(content, open_dataset):
    content["annotations"][2]["keypoints"] = np.transpose(triplets(content["annotations"][2])).tolist()
    with pytest.raises(DataError, match="annotation 102: keypoints are not 51 numbers"):
        open_dataset(content)


def test_messages_are_lines_of_text_whatever_names_are(content, open_dataset, caplog):
    content["categories"].append({"id": 2, "name": "\udcd6\nERROR: all is lost", "keypoints": []})
    content["annotations"].append({**content["annotations"][0], "category_id": 2, "id": 9})
    with caplog.at_level("INFO", "ppose"):
        open_dataset(content)
    assert r"left out: category \xd6\nERROR: all is lost 1" in caplog.text
    content["categories"][0]["keypoints"][0] = "\udcd6\nose"
    with pytest.raises(DataError, match=r"its keypoints are \\xd6\\nose, left_eye"):
        open_dataset(content)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**400, 1e12])
@pytest.mark.parametrize(("key", "place"), [("keypoints", 4), ("bbox", 2), ("area", None)])
def test_what_is_no_number_is_one_error_with_its_place(content, open_dataset, value, key, place):
    person = content["annotations"][3]
    if place is None:
        person[key] = value if value != 1e12 else 1e20
    else:
        person[key][place] = value
    with pytest.raises(DataError, match=f"ann.json: annotation 103: {key} "):
        open_dataset(content)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            lambda c: c["images"][1].update(width=float("nan")),
            r"images\[1\]: expected a file_name, and width",
        ),
        (lambda c: c["images"][1].update(width=10**400), r"images\[1\]: expected a file_name, and width"),
        (lambda c: c["images"][1].update(id=float("nan")), "image 1: the id nan is no whole number"),
        (lambda c: c["images"][1].update(id=None), "image ids are not all numbers, nor all texts: None"),
        (lambda c: c["images"][1].update(file_name=3), r"images\[1\]: expected a file_name"),
        (lambda c: c["annotations"][1].update(iscrowd="maybe"), "annotation 101: iscrowd is 'maybe'"),
        (lambda c: c["annotations"][1].update(image_id=[1]), "annotation 101: image_id"),
        (lambda c: c["annotations"][1].update(category_id={}), r"annotations\[1\]: category_id"),
        (lambda c: c["annotations"][1].update(num_keypoints="many"), "101: num_keypoints is 'many'"),
        (lambda c: c["annotations"][1].update(keypoints=[1, 2, 2] * 14), "101 has 14 keypoints, .* has 17"),
        (
            lambda c: c["annotations"][1].update(keypoints={"nose": [1, 2]}),
            "101: keypoints are not 51 numbers",
        ),
        (lambda c: c.update(annotations={}), "'annotations' is not a list|no annotation has keypoints"),
        (lambda c: c.update(categories={"id": 1}), "'categories' is not a list"),
    ],
)
def test_other_faults_are_one_error_with_their_place(content, open_dataset, change, expected):
    change(content)
    with pytest.raises(DataError, match=expected):
        open_dataset(content)


def test_names_need_the_sets_own_words():
    """Heads and sides are said in several ways; another word is another keypoint."""
    crowd = get_keypoint_set("crowdpose14")
    names = [*(f"{side} {limb}" for limb in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
               for side in ("left", "right")), "head", "neck"]  # fmt: skip
    assert _order(names, crowd) == list(range(14))
    assert _order([*names[12:], *names[:12]], crowd) == [*range(2, 14), 0, 1]
    own = make_keypoint_set("own", ["tip", "left_tail", "right_tail"], [])
    assert _order(["tailR", "Tip", "L-Tail"], own) == [1, 2, 0]
    assert _order(["new-point-0", "new-point-1", "new-point-2"], own) == [0, 1, 2]
    assert _order(["rtail", "tip", "LTAIL"], own) == [1, 2, 0]
    assert _order(["tailright", "tip", "tailleft"], own) == [1, 2, 0]
    for names in (["2", "1", "3"], ["a", "b", "c"], ["tip", "tip", "left_tail"], ["tip", "left_tail"]):
        with pytest.raises(DataError, match="its keypoints are"):
            _order(names, own)


def _order(names, keypoint_set):
    count = len(names)
    points = np.column_stack([np.arange(count), np.zeros(count), np.full(count, 2)])
    content = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 99, "height": 99}],
        "annotations": [
            {
                "id": 1,
                "image_id": 1,
                "category_id": 1,
                "bbox": [0, 0, 9, 9],
                "keypoints": points.ravel().tolist(),
            }
        ],
        "categories": [{"id": 1, "name": "thing", "keypoints": names}],
    }
    return read_annotations(content, keypoint_set).people.keypoints[0, :, 0].astype(int).tolist()
