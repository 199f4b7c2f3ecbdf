"""The COCO dataset: which people it takes, with which boxes, and what it says of bad files."""

import json

import numpy as np
import pytest
from PIL import Image

from ppose.data import KeypointTopDownCocoDataset
from ppose.errors import DataError
from ppose.keypoints import get_keypoint_set
from ppose.transforms import Decode

COCO17 = get_keypoint_set("coco17")


def make(folder, **changes):
    arguments = {
        "dataset_dir": str(folder), "image_dir": "images", "anno_path": "annotations.json",
        "trainsize": [192, 256], "keypoint_set": COCO17, **changes,
    }  # fmt: skip
    return KeypointTopDownCocoDataset(**arguments)


def edit(folder, change):
    file = folder / "annotations.json"
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def test_takes_people_with_keypoints_and_no_crowd(coco_folder):
    dataset = make(coco_folder)
    assert len(dataset) == 6
    assert dataset.image_ids.tolist() == [1, 1, 2, 2, 3, 3]
    sample = dataset[1]
    assert sample["image"].shape == (120, 160, 3)
    annotation = json.loads((coco_folder / "annotations.json").read_text())["annotations"][1]
    np.testing.assert_allclose(sample["keypoints"], np.reshape(annotation["keypoints"], (-1, 3))[:, :2])
    # x=70, y=10, w=50, h=90, as annotated
    dataset = make(coco_folder, clip_bbox=False)
    np.testing.assert_allclose(dataset[1]["center"], [70 + 50 / 2, 10 + 90 / 2])
    np.testing.assert_allclose(dataset[1]["scale"], np.array([90 * 0.75, 90]) * 1.25)
    assert dataset.areas[1] == pytest.approx(90 * 0.75 * 90 * 1.25**2)
    assert "own boxes" in dataset.boxes


def test_an_image_is_as_its_annotations_are_and_not_as_exif_turns_it(coco_folder):
    file = (
        coco_folder
        / "images"
        / json.loads((coco_folder / "annotations.json").read_text())["images"][0]["file_name"]
    )
    photo = Image.fromarray(np.zeros((120, 160, 3), np.uint8))
    exif = photo.getexif()
    exif[0x0112] = 6  # a quarter turn
    photo.save(file, "JPEG", exif=exif)
    assert Decode()({"image_file": str(file)})["image"].shape == (160, 120, 3)
    sample = Decode()(make(coco_folder)[0])
    assert sample["image"].shape == (120, 160, 3)


def test_clipped_boxes_are_the_official_codes(coco_folder):
    """Its last pixel is x + w - 1, in a 160x120 image 159 at most."""
    edit(coco_folder, lambda content: content["annotations"][0].update(bbox=[140, 10, 50, 90]))
    dataset = make(coco_folder)
    np.testing.assert_allclose(dataset[0]["center"], [140 + 19 / 2, 10 + 89 / 2])
    np.testing.assert_allclose(dataset[1]["scale"], np.array([89 * 0.75, 89]) * 1.25)


def test_drops_boxes_without_extent_and_says_so(coco_folder, caplog):
    def change(content):
        content["annotations"][0]["bbox"] = [10, 10, 0, 0]
        content["annotations"][1]["bbox"] = [500, 10, 20, 50]  # outside the image
        content["annotations"][4]["area"] = 0

    edit(coco_folder, change)
    with caplog.at_level("INFO", "ppose"):
        assert make(coco_folder).image_ids.tolist() == [2, 2, 3, 3]
    (line,) = caplog.messages
    assert "4 of 12 annotated people are used, in 2 of 3 images; left out: crowd 3, " in line
    assert "no labelled keypoint 3, " in line
    assert "box without extent 1, box outside of the image 1; area of 1 is 0: taken from their boxes" in line


def test_detected_boxes(coco_folder):
    detections = [
        {"image_id": 2, "category_id": 1, "bbox": [5, 6, 30, 60], "score": 0.9},
        {"image_id": 2, "category_id": 1, "bbox": [5, 6, 30, 60], "score": 0.2},
        {"image_id": 1, "category_id": 3, "bbox": [5, 6, 30, 60], "score": 0.9},
        {"image_id": 1, "category_id": 1, "bbox": [5, 6, 0, 60], "score": 0.9},
    ]
    (coco_folder / "boxes.json").write_text(json.dumps(detections))
    dataset = make(coco_folder, use_gt_bbox=False, bbox_file="boxes.json", image_thre=0.5)
    assert dataset.image_ids.tolist() == [2]
    assert dataset.bbox_scores.tolist() == [0.9]
    assert dataset.boxes == "detected boxes"
    assert "keypoints" not in dataset[0]
    np.testing.assert_allclose(dataset[0]["center"], [20, 36])


def test_detected_boxes_need_no_annotations(coco_folder):
    edit(coco_folder, lambda content: content.pop("annotations"))
    (coco_folder / "boxes.json").write_text(
        json.dumps([{"image_id": 1, "category_id": 1, "bbox": [5, 6, 30, 60], "score": 0.9}])
    )
    assert len(make(coco_folder, use_gt_bbox=False, bbox_file=str(coco_folder / "boxes.json"))) == 1


@pytest.mark.parametrize(
    ("arguments", "change", "expected"),
    [
        ({"anno_path": "none.json"}, None, "annotation file not found: .*none.json.*dataset_dir=FOLDER"),
        ({}, lambda c: [a.pop("keypoints") for a in c["annotations"]], "no annotation has keypoints"),
        (
            {},
            lambda c: c["annotations"][0].update(keypoints=[1, 2, 2] * 14),
            "annotation 10 has 14 keypoints",
        ),
        ({}, lambda c: [a.update(image_id=77) for a in c["annotations"]], "annotation 10 is of image 77"),
        ({}, lambda c: c["annotations"].insert(0, 3), r"annotations\[0\]: got 3"),
        ({}, lambda c: c["annotations"][0].update(bbox=[1, 2, 3]), r"annotation 10: bbox is \[1, 2, 3\]"),
        ({}, lambda c: c["annotations"][0].update(bbox=[1, 2, float("nan"), 3]), "annotation 10: bbox is"),
        (
            {},
            lambda c: c["annotations"][0].update(keypoints="x"),
            "annotation 10: keypoints are not 51 numbers",
        ),
        ({}, lambda c: c["annotations"][0].update(area="x"), "annotation 10: area is 'x'"),
        ({}, lambda c: c["images"][0].update(id="a"), "image ids are not all numbers, nor all texts: 'a'"),
        ({}, lambda c: c["images"][0].update(width="wide"), r"images\[0\]: expected .* width and height"),
        (
            {},
            lambda c: c["images"][0].update(width=-4),
            r"images\[0\]: expected .* width and height in pixels",
        ),
        ({}, lambda c: c.pop("images"), "has no list 'images'"),
        ({"num_joints": 16}, None, "num_joints is 16"),
        ({"use_gt_bbox": False}, None, "no bbox_file is given"),
        ({"use_gt_bbox": False, "bbox_file": "no.json"}, None, "box file .* not found: .*no.json"),
        ({"use_gt_bbox": False, "bbox_file": "images/000000000001.jpg"}, None, "not a JSON file"),
    ],
)
def test_bad_files_are_named(coco_folder, arguments, change, expected):
    if change:
        edit(coco_folder, change)
    with pytest.raises(DataError, match=expected):
        make(coco_folder, **arguments)


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ({"score": "high"}, r"\[0\]: expected bbox"),
        ({"score": float("nan")}, r"\[0\]: expected bbox"),
        ({"bbox": [1, 2, 3]}, r"\[0\]: expected bbox"),
        ({"image_id": [1]}, "image ids are not all"),
        ({"category_id": 2}, r"of 1: 1 of another category than 1 \(the file has 2\)"),
        ({"bbox": [1, 2, 0, 3]}, "of 1: 1 smaller than a pixel"),
        ({"score": 0.1}, "of 1: 1 with a score below 0.5"),
    ],
)
def test_bad_detections_are_named(coco_folder, box, expected):
    content = [{"image_id": 1, "category_id": 1, "bbox": [5, 6, 30, 60], "score": 0.9, **box}]
    (coco_folder / "boxes.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=expected) as caught:
        make(coco_folder, use_gt_bbox=False, bbox_file="boxes.json", image_thre=0.5)
    assert "boxes.json" in str(caught.value)


def test_several_categories(coco_folder):
    """The one named person counts; where none is, one has to go."""
    edit(coco_folder, lambda c: c["annotations"][0].update(category_id=2))
    assert len(make(coco_folder)) == 5
    edit(coco_folder, lambda c: c.pop("categories"))
    with pytest.raises(DataError, match="several categories have keypoints: 1, 2"):
        make(coco_folder)


def test_detections_of_other_images(coco_folder):
    strange = [{"image_id": 99, "category_id": 1, "bbox": [5, 6, 30, 60], "score": 0.9}]
    (coco_folder / "boxes.json").write_text(json.dumps(strange))
    with pytest.raises(DataError, match=r"1 of its images, such as 99, are not in"):
        make(coco_folder, use_gt_bbox=False, bbox_file="boxes.json")


def test_a_missing_image_is_named(coco_folder):
    (coco_folder / "images" / "000000000002.jpg").unlink()
    with pytest.raises(DataError, match=r"image not found: .*000000000002\.jpg"):
        make(coco_folder)[2]["image"]


def test_detected_boxes_of_the_files_own_category(coco_folder):
    """21 in the annotations: the boxes may say so too, or 1, as detectors of people do."""

    def change(content):
        content["categories"] = [{"id": 21, "name": "athlete"}]
        for annotation in content["annotations"]:
            annotation["category_id"] = 21

    edit(coco_folder, change)
    boxes = [
        {"image_id": "000000000002", "category_id": kind, "bbox": [5, 6, 30, 60], "score": 0.9}
        for kind in (21, 1, 3)
    ]
    (coco_folder / "boxes.json").write_text(json.dumps(boxes))
    dataset = make(coco_folder, use_gt_bbox=False, bbox_file="boxes.json")
    assert dataset.image_ids.tolist() == [2, 2]
    assert dataset.category_ids.tolist() == [21, 21]
    (coco_folder / "boxes.json").write_text(json.dumps(boxes[2:]))
    with pytest.raises(DataError, match=r"1 of another category than 1, 21 \(the file has 3\)"):
        make(coco_folder, use_gt_bbox=False, bbox_file="boxes.json")


def test_detected_boxes_in_the_form_of_annotations(coco_folder):
    """Its people, without crowds: 3 in each image."""
    found = make(coco_folder, use_gt_bbox=False, bbox_file="annotations.json")
    assert found.image_ids.tolist() == [1, 1, 1, 2, 2, 2, 3, 3, 3]
