"""Annotation files of the kinds that tools write: each is read as the plain file of the same people is."""

import json
import random
import unicodedata

import cv2
import numpy as np
import pytest
from annotations.changes import COCO17, in_two_animals, of_ids, of_people, triplets, used_people

from ppose.boxes import read_people_boxes
from ppose.errors import DataError


def nest(person):
    person["keypoints"] = triplets(person)


def pair(person):
    person["keypoints"] = [point[:2] if point[2] else None for point in triplets(person)]


def pair_with_zeros(person):
    person["keypoints"] = [point[:2] for point in triplets(person)]


def flat_pairs(person):
    person["keypoints"] = [value for point in triplets(person) for value in point[:2]]


def of_an_unlisted_category(content):
    in_another_order(content)
    of_people(lambda p: p.update(category_id=0))(content)


def with_strays(content):
    content["annotations"].insert(2, {**content["annotations"][0], "id": 9, "image_id": 777})


def null_unlabelled(person):
    person["keypoints"] = [point if point[2] else None for point in triplets(person)]


def in_another_order(content):
    order = random.Random(0).sample(range(17), 17)
    content["categories"][0]["keypoints"] = [COCO17.names[i] for i in order]
    for person in content["annotations"]:
        points = triplets(person)
        person["keypoints"] = [value for i in order for value in points[i]]


def with_more(content):
    content["categories"][0]["keypoints"] = ["tail", *COCO17.names]
    for person in content["annotations"]:
        person["keypoints"] = [5, 5, 2, *person["keypoints"]]


def with_a_bicycle(content):
    content["categories"].append({"id": 2, "name": "bicycle", "keypoints": [], "skeleton": []})
    content["annotations"].append(
        {"id": 9, "image_id": 36, "bbox": [1, 2, 30, 40], "category_id": 2, "keypoints": [], "iscrowd": 0}
    )


def without_category_ids(content):
    content.pop("categories")
    of_people(lambda p: p.pop("category_id"))(content)


def twice_listed(content):
    content["images"].append(dict(content["images"][0]))


def as_text(person):
    for key in ("bbox", "keypoints"):
        person[key] = json.dumps(person[key])


SAME = {
    "plain": lambda content: None,
    "float ids": of_ids(float),
    "text ids": of_ids(str),
    "zero-padded ids": of_ids(lambda n: f"{n:012d}"),
    "zero-padded ids of images alone": lambda c: [i.update(id=f"{i['id']:012d}") for i in c["images"]],
    "nested keypoints": of_people(nest),
    "null for keypoints that are not labelled": of_people(null_unlabelled),
    "pairs without visibility": of_people(pair),
    "pairs without visibility, 0 for those not labelled": of_people(pair_with_zeros),
    "flat pairs without visibility": of_people(flat_pairs),
    "visibility as float": of_people(lambda p: p.update(keypoints=[float(v) for v in p["keypoints"]])),
    "visibility as text": of_people(lambda p: p["keypoints"].__setitem__(slice(2, None, 3), ["2"] * 17)),
    "numbers as text": of_people(lambda p: p.update(keypoints=list(map(str, p["keypoints"])))),
    "lists as text": of_people(as_text),
    "boxes of texts": of_people(lambda p: p.update(bbox=list(map(str, p["bbox"])))),
    "crowd as text": of_people(lambda p: p.update(iscrowd="0")),
    "crowd as false": of_people(lambda p: p.update(iscrowd=False)),
    "no area, count or crowd": of_people(lambda p: [p.pop(k) for k in ("area", "num_keypoints", "iscrowd")]),
    "area and count as empty texts": of_people(lambda p: p.update(area="", num_keypoints="")),
    "a count of 0 for everybody": of_people(lambda p: p.update(num_keypoints=0)),
    "names in another order": in_another_order,
    "names as Halpe shortens them": lambda c: c["categories"][0].update(
        keypoints=["".join(w.title() for w in n.split("_")).replace("Left", "L").replace("Right", "R")
                   for n in COCO17.names]
    ),
    "numbers for names": lambda c: c["categories"][0].update(keypoints=[str(n + 1) for n in range(17)]),
    "more keypoints than the set has": with_more,
    "two categories with the same keypoints": in_two_animals,
    "another category without keypoints": with_a_bicycle,
    "a category that is not listed": of_an_unlisted_category,
    "names as one text": lambda c: c["categories"][0].update(keypoints=", ".join(COCO17.names)),
    "a category listed twice": lambda c: c["categories"].append({"id": 1, "name": "person"}),
    "an annotation of an image that is not listed": with_strays,
    "category 21": lambda c: [e.update(category_id=21) for e in c["annotations"]]
    + [c["categories"][0].update(id=21)],
    "category 0 as text": lambda c: [e.update(category_id="0") for e in c["annotations"]]
    + [c["categories"][0].update(id=0)],
    "no categories": without_category_ids,
    "an image listed twice": twice_listed,
    "sizes as texts": lambda c: [
        i.update(width=str(i["width"]), height=float(i["height"])) for i in c["images"]
    ],
}  # fmt: skip


@pytest.mark.parametrize("kind", SAME)
def test_other_kinds_of_the_same_file_give_the_same_people_and_ap(content, open_dataset, measure, kind):
    """The poses of `measure` are off by 0 to 15 pixels: AP is what it is, whatever the file's form."""
    plain = open_dataset(content)
    SAME[kind](content)
    if kind == "visibility as text":
        for person, others in zip(content["annotations"], measure.base, strict=True):
            person["keypoints"][2::3] = list(map(str, others["keypoints"][2::3]))
    dataset = open_dataset(content)
    people, expected = used_people(dataset), used_people(plain)
    for column in ("images", "bboxes_xywh", "keypoints", "visibility", "num_keypoints", "is_crowd"):
        if "pairs without visibility" in kind and column == "visibility":
            continue  # whatever is there is in sight
        np.testing.assert_array_equal(getattr(people, column), getattr(expected, column), err_msg=column)
    np.testing.assert_allclose(people.areas, expected.areas)
    assert len(dataset) == 6
    ap, _ = measure(dataset)
    assert ap == pytest.approx(measure(plain)[0])
    assert 0.3 < ap < 0.95


def test_results_have_the_files_own_ids(content, open_dataset, measure):
    """pycocotools compares them by these."""
    SAME["category 21"](content)
    assert {r["category_id"] for r in measure(open_dataset(content))[1]} == {21}
    of_ids(lambda n: f"{n:012d}")(content)
    assert measure(open_dataset(content))[1][0]["image_id"] == "000000000036"
    of_ids(float)(content)
    image = measure(open_dataset(content))[1][0]["image_id"]
    assert (image, type(image)) == (36, int)
    in_two_animals(content)
    assert {r["category_id"] for r in measure(open_dataset(content))[1]} == {1, 2}


def test_detections_have_their_own_category_of_those_annotated(content, open_dataset, tmp_path):
    """Of two animals what the box says; a box that says something else is the first."""
    in_two_animals(content)
    for number, category in enumerate(content["categories"], 4):
        category["id"] = number
    of_people(lambda p: p.update(category_id=p["category_id"] + 3))(content)
    boxes = [{"image_id": 36, "bbox": [9, 9, 99, 99], "category_id": n, "score": 0.9} for n in (5, 4)]
    (tmp_path / "det.json").write_text(json.dumps(boxes))
    dataset = open_dataset(content, use_gt_bbox=False, bbox_file=str(tmp_path / "det.json"))
    assert dataset.category_ids.tolist() == [5, 4]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_names_in_the_other_form_of_unicode_are_found(content, open_dataset, tmp_path, form):
    """macOS's archives have the accents apart from their letters."""
    name, other = (unicodedata.normalize(f, "caf\u00e9.png") for f in (form, {"NFC": "NFD"}.get(form, "NFC")))
    cv2.imwrite(str(tmp_path / name), np.zeros((640, 481, 3), np.uint8))
    content["images"][0]["file_name"] = other
    dataset = open_dataset(content, image_dir="")
    assert dataset[0]["image"].shape == (640, 481, 3)
    (tmp_path / "det.json").write_text(json.dumps([{"image": other, "bbox": [9, 9, 99, 99]}]))
    assert read_people_boxes(tmp_path / "det.json", [name]).rows.tolist() == [0]


def test_categories_are_chosen_by_name_or_id(content, open_dataset, caplog):
    in_two_animals(content)
    for asked in (["antelope"], [1], ["1"]):
        with caplog.at_level("INFO", "ppose"):
            assert len(open_dataset(content, categories=asked)) == 3
        assert "left out: category zebra 3" in caplog.text
    with pytest.raises(DataError, match=r"no category 'zebr'; it has antelope, zebra; did you mean 'zebra'"):
        open_dataset(content, categories=["zebr"])


def test_the_files_own_count_is_the_metrics(content, open_dataset, measure):
    """CrowdPose counts what is in sight alone: who has nothing in sight is no sample, and not missed."""
    person = content["annotations"][5]
    person["keypoints"][2::3] = [1 if flag else 0 for flag in person["keypoints"][2::3]]
    recounted = measure(open_dataset(content))[0]
    person["num_keypoints"] = 0
    dataset = open_dataset(content)
    assert len(dataset) == 5
    assert measure(dataset)[0] > recounted  # that person's pose is the worst
