"""What is odd in annotation files is reported: people left out, areas, boxes and keypoints in other units."""

import json
import os

import numpy as np
import pytest
from annotations.changes import COCO17, of_people, triplets, used_people

from ppose.data import KeypointTopDownCocoDataset
from ppose.errors import DataError

LEFT_OUT = {
    "crowd as text": (lambda p: p.update(iscrowd="1"), "crowd 1"),
    "crowd as true": (lambda p: p.update(iscrowd=True), "crowd 1"),
    "empty keypoints": (lambda p: p.update(keypoints=[], num_keypoints=0), "no labelled keypoint 1"),
    "an empty track of CVAT": (
        lambda p: p.update(keypoints=[], num_keypoints=0, area=0, bbox=[0, 0, 0, 0]),
        "no labelled keypoint 1",
    ),
    "no keypoints": (lambda p: p.pop("keypoints"), "no labelled keypoint 1"),
    "none labelled": (lambda p: p.update(keypoints=[0] * 51), "no labelled keypoint 1"),
    "a count of 0": (lambda p: p.update(num_keypoints=0), "no keypoint by its own num_keypoints 1"),
    "a box without extent": (lambda p: p.update(bbox=[10, 10, 0, 50]), "box without extent 1"),
    "an image that is not listed": (lambda p: p.update(image_id=777), "image that is not listed 1"),
    "a box beside the image": (lambda p: p.update(bbox=[700, 10, 20, 50]), "box outside of the image 1"),
}


@pytest.mark.parametrize("kind", LEFT_OUT)
def test_who_is_left_out_is_counted_and_no_miss(content, open_dataset, measure, caplog, kind):
    """The same five people are samples and count: the poses, exact but for one left out, have AP 1."""
    change, reason = LEFT_OUT[kind]
    change(content["annotations"][4])
    with caplog.at_level("INFO", "ppose"):
        dataset = open_dataset(content)
    assert len(dataset) == 5
    assert dataset.annotations.left_out == {reason[:-2]: 1}
    (line,) = caplog.messages
    assert line.endswith(f"ann.json: 5 of 6 annotated people are used, in 4 of 4 images; left out: {reason}")
    assert 104 not in used_people(dataset).ids
    everybody = measure(open_dataset({**content, "annotations": content["annotations"][:4]}))[0]
    assert measure(dataset)[0] < 1
    assert 0.3 < everybody <= 1


def test_area_0_is_taken_from_the_box_and_reported(content, open_dataset, measure, caplog):
    plain = measure(open_dataset(content))[0]
    for person in content["annotations"][::2]:
        person["area"] = 0
    with caplog.at_level("INFO", "ppose"):
        dataset = open_dataset(content)
    assert len(dataset) == 6
    assert measure(dataset)[0] == plain  # the plain file's areas are 0.53 of the boxes
    assert "area of 3 is 0: taken from their boxes" in caplog.text


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda p: p.update(area=-p["area"]), "area of 6 is 0 or less: taken from their boxes"),
        (lambda p: p.update(area=1), "area of 6 is beyond their box or below 1 % of it: is it in pixels"),
        (lambda p: p.update(area=640 * 481), "area of 6 is beyond their box or below 1 % of it"),
    ],
)
def test_areas_that_cannot_be_are_reported(content, open_dataset, caplog, change, expected):
    of_people(change)(content)
    with caplog.at_level("INFO", "ppose"):
        assert len(open_dataset(content)) == 6
    assert expected in caplog.text


ODD = {
    "keypoints in parts of the image": (
        lambda p: p.update(keypoints=[v / 640 if i % 3 < 2 else v for i, v in enumerate(p["keypoints"])]),
        "most keypoints of 6 are outside of their boxes: are both in pixels",
    ),
    "y before x": (
        lambda p: p.update(keypoints=[v for x, y, flag in triplets(p) for v in (y, x, flag)]),
        "most keypoints of 4 are outside of their boxes",
    ),
    "labelled at 0, 0": (
        lambda p: p.update(keypoints=[v if i % 3 < 2 else 2 for i, v in enumerate(p["keypoints"])]),
        "keypoints of 6 are labelled at 0, 0",
    ),
    "corners": (
        lambda p: p.update(bbox=[190, 210, 380, 420], keypoints=[200, 220, 2] * 17),
        "boxes reach beyond their images: are they x, y, width, height, not corners?",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", ODD)
def test_numbers_of_another_meaning_are_reported(content, open_dataset, caplog, kind):
    """Each gives a low AP, or one of nothing, without a word otherwise."""
    change, expected = ODD[kind]
    of_people(change)(content)
    with caplog.at_level("INFO", "ppose"):
        assert len(open_dataset(content)) == 6
    (line,) = caplog.messages
    assert expected in line


def test_boxes_in_parts_of_the_image_are_reported(content, open_dataset, caplog):
    of_people(lambda p: p.update(bbox=[v / 640 for v in p["bbox"]]))(content)
    with caplog.at_level("INFO", "ppose"), pytest.raises(DataError, match="box outside of the image 6"):
        open_dataset(content)
    assert "all boxes are from 0 to 1: they must be in pixels" in caplog.text


def test_one_name_of_two_images_is_an_error_or_reported(content, open_dataset, caplog):
    """Frames of two videos have the same names; here with sizes of their own, or not."""
    images = content["images"]
    images[1]["file_name"] = images[0]["file_name"]
    with pytest.raises(
        DataError, match=r"0+36\.jpg stands for two images, 36 and 49, of 481 x 640 and 381 x"
    ):
        open_dataset(content)
    images[1].update(width=481, height=640)
    with caplog.at_level("INFO", "ppose"):
        assert len(open_dataset(content)) == 6
    assert "1 images have the name of another, such as 000000000036.jpg (36 and 49)" in caplog.text


def test_people_annotated_twice_and_unlisted_categories_are_reported(content, open_dataset, caplog):
    content["annotations"] += [{**person, "category_id": 0} for person in content["annotations"][:2]]
    with caplog.at_level("INFO", "ppose"):
        assert len(open_dataset(content)) == 8
    assert "category 0 is not listed: read as 1 person" in caplog.text
    assert "2 are annotated twice" in caplog.text


def test_a_missing_box_is_made_of_the_keypoints(content, open_dataset, caplog):
    """1.2 times the tight one, around its middle: with a crop's padding of 1.25 that is 1.5."""
    for number, empty in enumerate((None, [], "")):
        content["annotations"][number]["bbox"] = empty
    content["annotations"][3].pop("bbox")
    with caplog.at_level("INFO", "ppose"):
        dataset = open_dataset(content, clip_bbox=False)
    assert "boxes of 4 computed from their keypoints" in caplog.text
    people = dataset.annotations.people
    for number in range(4):
        points = people.keypoints[number][people.visibility[number] > 0]
        low, high = points.min(axis=0), points.max(axis=0)
        box = [*(low + high) / 2 - 0.6 * (high - low), *1.2 * (high - low)]
        np.testing.assert_allclose(people.bboxes_xywh[number], box)


def test_a_report_of_a_name_that_is_no_text_is_a_line_of_text(content, tmp_path, caplog):
    content["annotations"][0]["iscrowd"] = 1
    file = tmp_path / os.fsdecode(b"\xd6\xd0.json")
    file.write_text(json.dumps(content))
    with caplog.at_level("INFO", "ppose"):
        KeypointTopDownCocoDataset("images", str(file), [192, 256], COCO17)
    (line,) = caplog.messages
    assert rf"{tmp_path}/\xd6\xd0.json: 5 of 6" in line


def test_an_image_without_a_file_name_costs_its_people_alone(content, open_dataset):
    content["images"][0].pop("file_name")
    dataset = open_dataset(content)
    assert dataset.annotations.left_out == {"image without a file name": 1}
    assert len(dataset) == 5
