"""People's boxes from files: whose they are, which count, and what is said of the others."""

import json

import numpy as np
import pytest

from ppose.boxes import read_people_boxes
from ppose.errors import DataError

NAMES = ["a/walk_01.jpg", "b/walk.02.jpg", "000000000036.jpg", "人.jpg"]
IDS = [7, "000000000008", 36.0, 113]
BOX = [10.5, 20, 30, 40]


@pytest.fixture
def read(tmp_path):
    """Rows and scores of the boxes in a file of this content."""

    def _read(content, names=NAMES, ids=None, **options):
        path = tmp_path / "boxes.json"
        path.write_text(json.dumps(content))
        found = read_people_boxes(path, names, ids, **options)
        np.testing.assert_array_equal(found.bboxes_xywh, [BOX] * len(found.rows))
        return found.rows.tolist(), found.scores.tolist()

    return _read


def of(**entry):
    return {"bbox": BOX, **entry}


@pytest.mark.parametrize(
    ("named", "row"),
    [
        ({"image": "a/walk_01.jpg"}, 0),
        ({"image": "walk_01.jpg"}, 0),
        ({"image": "C:\\data\\walk_01.jpg"}, 0),
        ({"image": "walk_01.png"}, 0),
        ({"image": "walk_01"}, 0),
        ({"image_id": "walk_01"}, 0),
        ({"image_id": "walk.02"}, 1),
        ({"image_id": "walk.02.jpg"}, 1),
        ({"image_id": "walk_01", "file_name": "walk_01.jpg"}, 0),
        ({"image_id": 3, "file_name": "walk_01.jpg"}, 0),
        ({"image_id": 36}, 2),
        ({"image_id": 36.0}, 2),
        ({"image_id": "36"}, 2),
        ({"image_id": "000000000036"}, 2),
        ({"image": "000000000036.jpg"}, 2),
        ({"image_id": "人"}, 3),
    ],
)
def test_images_by_name_stem_and_number(read, named, row):
    assert read([of(**named)]) == ([row], [1.0])


@pytest.mark.parametrize(
    ("image_id", "row"),
    [(7, 0), (7.0, 0), ("7", 0), ("007", 0), (8, 1), ("000000000008", 1), ("36", 2), (113, 3)],
)
def test_images_by_the_ids_of_annotations(read, image_id, row):
    assert read([of(image_id=image_id, score=0.9)], ids=IDS)[0] == [row]


def test_ids_go_before_stems(read):
    """000000000002.jpg may have the id 1: where one box names an id, all do."""
    names, ids = ["000000000002.jpg", "000000000001.jpg"], [1, 5]
    assert read([of(image_id=1)], names, ids)[0] == [0]
    assert read([of(image_id=2)], names, ids)[0] == [0]
    with pytest.raises(
        DataError, match=r"1 of its images, such as 2, are not in the images here, such as 1 \(0"
    ):
        read([of(image_id=1), of(image_id=2)], names, ids)


def test_a_name_goes_before_an_id(read):
    """Ultralytics' predictions have the file's number for an id, which may be another image's here."""
    names, ids = ["1.jpg", "2.jpg", "3.jpg"], [0, 1, 2]
    boxes = [of(image_id=number, file_name=f"{number}.jpg") for number in (1, 2)]
    assert read(boxes, names, ids)[0] == [0, 1]
    assert read([of(image_id=2, file_name="elsewhere.jpg")], names, ids)[0] == [2]


def test_numbers_may_be_texts(read):
    """As annotations may have them; without a score, or with null, somebody is there."""
    texts = {"bbox": list(map(str, BOX)), "score": "0.75"}
    assert read([of(image_id="36", **texts), of(image_id=36, score=None)])[1] == [0.75, 1.0]
    assert read([{"image_id": 36, "bbox": str(BOX)}])[1] == [1.0]


def test_annotations_without_a_box_are_counted(read, caplog):
    """As CVAT writes tracks that have left the frame."""
    content = annotations((1, "person"))
    gone = [{"image_id": 5, "category_id": 1, "keypoints": [], **box} for box in ({}, {"bbox": []})]
    assert read({**content, "annotations": content["annotations"] + gone})[0] == [0]
    assert "2 of 3 boxes left out: 2 without a box" in caplog.text


def test_an_id_of_two_images_is_an_error(read):
    content = annotations((1, "person"))
    content["images"][1]["id"] = 5
    with pytest.raises(DataError, match=r"image id 5 stands for two files, x/walk_01.jpg and none.jpg"):
        read(content)


def test_annotated_categories_are_found_by_name_else_by_id(read):
    both = annotations((1, "car"), (2, "Person "))
    for one in both["annotations"][:1]:
        one["score"] = 0.25
    assert read(both, annotated={1: "person"}, threshold=0)[1] == [1.0]
    assert read(both, annotated={1: "athlete"}, threshold=0)[1] == [0.25]
    named = [of(image_id=36, category_id="person"), of(image_id=36, category_id="car")]
    assert read(named)[0] == [2]
    assert read(named, classes=["Car"])[0] == [2]


def test_a_name_of_two_images_is_nobodys(read):
    names = ["a/1.jpg", "b/1.jpg", "2.jpg"]
    assert read([of(image="b/1.jpg")], names)[0] == [1]
    with pytest.raises(DataError, match=r"1 of images \(1.jpg\) that are not the images here"):
        read([of(image="1.jpg")], names)


def test_people_are_one_category(read, caplog):
    boxes = [of(image_id=36, category_id=kind) for kind in (1, 3, 1.0, "1")] + [of(image_id=36)]
    assert len(read(boxes)[0]) == 4
    assert "1 of 5 boxes left out: 1 of another category than 1 (the file has 1, 3)" in caplog.text
    assert len(read(boxes, classes=["3"])[0]) == 2
    assert len(read(boxes, classes=[1, 3])[0]) == 5
    reason = r"4 of another category than 9 \(the file has 1, 3: --det_class chooses\)"
    with pytest.raises(DataError, match=reason):
        read(boxes[:4], classes=["9"])


def annotations(*categories, **person):
    kinds = [{"id": number, "name": name} for number, name in categories]
    images = [{"id": 5, "file_name": "x/walk_01.jpg"}, {"id": 7, "file_name": "none.jpg"}]
    boxes = [{"image_id": 5, "category_id": number, **of(), **person} for number, _ in categories]
    return {"images": images, "categories": kinds, "annotations": boxes}


def test_annotations_name_their_categories_and_images(read):
    """Their ids are their own: 7 is another image there."""
    both = annotations((21, "Person"), (3, "car"))
    for ids in (None, IDS):
        assert read(both, ids=ids)[0] == [0]
    assert read(both, classes=["car"])[0] == [0]
    assert read(both, classes=["3", "Person"])[0] == [0, 0]
    assert read(annotations((4, "pedestrian")))[0] == [0]
    with pytest.raises(DataError, match=r"no category is called 'person', .* the file has 1 dog, 2 cat"):
        read(annotations((1, "dog"), (2, "cat")))
    other = both["annotations"][0] | {"image_id": 7}
    with pytest.raises(DataError, match=r"of images \(none.jpg\)"):
        read({**both, "annotations": [other]})


@pytest.mark.parametrize("iscrowd", [1, True, "1", "true"])
def test_crowds_are_nobody(read, caplog, iscrowd):
    boxes = [of(image_id=36, iscrowd=iscrowd), of(image_id=36, iscrowd=0), of(image_id=36, iscrowd="false")]
    assert len(read(boxes)[0]) == 2
    assert "1 crowds" in caplog.text


def test_scores_obey_the_threshold(read, caplog):
    boxes = [of(image_id=36, score=score) for score in (0.2, 0.5, 0.9)] + [of(image_id=36)]
    assert read(boxes)[1] == [0.5, 0.9, 1.0]
    assert "1 with a score below 0.5" in caplog.text
    assert read(boxes, threshold=0.95)[1] == [1.0]
    assert len(read(boxes, threshold=0)[1]) == 4


def test_what_did_not_match_is_named(read, caplog):
    assert read([of(image_id=36), of(image_id="run_7"), of(image_id=99)])[0] == [2]
    assert "2 of images (run_7, 99) that are not the images here, such as walk_01.jpg" in caplog.text


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"image": 3}, "expected the name of a file, got 3"),
        ({"image_id": None}, "image ids are not all numbers or texts: None"),
        ({}, "image ids are not all numbers or texts: None"),
        ({"image_id": 36, "score": True}, "expected bbox"),
        ({"image_id": 36, "bbox": [1, 2, 3, "4 m"]}, "expected bbox"),
        ({"image_id": 36, "score": "high"}, "expected bbox"),
        ({"image_id": 36, "bbox": []}, "expected bbox"),
    ],
)
def test_other_forms_are_named(read, entry, expected):
    with pytest.raises(DataError, match=rf"expected a JSON list .*; \[1\]: {expected}"):
        read([of(image_id=36), of(**entry)])


# The cases as people report them: each with what is right.


def people_in(reference, case, file, names, **options):
    return len(read_people_boxes(reference / "cases" / case / file, names, **options).rows)


def test_boxes_of_cars_and_a_crowd(reference):
    content = json.loads((reference / "cases" / "boxes_cars" / "ann.json").read_text())
    names = [image["file_name"] for image in content["images"]]
    assert people_in(reference, "boxes_cars", "ann.json", names) == 6


def test_boxes_by_stem(reference):
    assert people_in(reference, "boxes_stem_id", "predictions.json", ["walk_01.jpg", "walk_02.jpg"]) == 1


def test_detections_by_padded_texts(reference):
    content = json.loads((reference / "cases" / "bbox_file_text_ids" / "ann.json").read_text())
    names, ids = zip(*((image["file_name"], image["id"]) for image in content["images"]), strict=True)
    assert people_in(reference, "bbox_file_text_ids", "det.json", names, ids=ids) == 6


def test_detections_of_coco_from_one_half_on(reference):
    folder = reference / "data" / "coco_det"
    names = [path.name for path in folder.glob("*.jpg")]
    entries = json.loads((folder / "test_coco_det_AP_H_56.json").read_text())
    assert len(entries) > 100
    expected = sum(entry["score"] >= 0.5 and entry["category_id"] == 1 for entry in entries)
    found = read_people_boxes(folder / "test_coco_det_AP_H_56.json", names, threshold=0.5)
    assert len(found.rows) == expected
    assert found.scores.min() >= 0.5


def test_a_category_that_no_box_has_says_how_to_choose(read):
    """Detectors of other tools call people 0."""
    with pytest.raises(DataError, match=r"another category than 1 \(the file has 0: --det_class chooses\)"):
        read([of(image="人.jpg", category_id=0)])
    assert read([of(image="人.jpg", category_id=0)], classes=[0]) == ([3], [1.0])
