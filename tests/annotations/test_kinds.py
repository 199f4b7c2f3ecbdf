"""Annotation files of the kinds that tools write: each is read as the plain file of the same people is."""

import json
import os
import random
import unicodedata

import cv2
import numpy as np
import pytest

from ppose.annotations import read_annotations
from ppose.boxes import read_people_boxes
from ppose.data import KeypointTopDownCocoDataset
from ppose.errors import DataError
from ppose.keypoints import get_keypoint_set, make_keypoint_set

COCO17 = get_keypoint_set("coco17")


def of_people(change):
    """A change of each person of a file."""

    def _change(content):
        for person in content["annotations"]:
            change(person)

    return _change


def of_ids(kind):
    """All ids in another form."""

    def _change(content):
        for image in content["images"]:
            image["id"] = kind(image["id"])
        for person in content["annotations"]:
            person["image_id"], person["id"] = kind(person["image_id"]), kind(person["id"])

    return _change


def triplets(person):
    return [person["keypoints"][i : i + 3] for i in range(0, 51, 3)]


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


def in_two_animals(content):
    content["categories"] = [
        {"id": n, "name": name, "keypoints": list(COCO17.names)}
        for n, name in ((1, "antelope"), (2, "zebra"))
    ]
    for n, animal in enumerate(content["annotations"]):
        animal["category_id"] = 1 + n % 2


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


def _table(dataset):
    people = dataset.annotations.people
    return people.take(people.used)


@pytest.mark.parametrize("kind", SAME)
def test_other_kinds_of_the_same_file_give_the_same_people_and_ap(content, open_dataset, measure, kind):
    """The poses of `measure` are off by 0 to 15 pixels: AP is what it is, whatever the file's form."""
    plain = open_dataset(content)
    SAME[kind](content)
    if kind == "visibility as text":
        for person, others in zip(content["annotations"], measure.base, strict=True):
            person["keypoints"][2::3] = list(map(str, others["keypoints"][2::3]))
    dataset = open_dataset(content)
    people, expected = _table(dataset), _table(plain)
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
    assert 104 not in _table(dataset).ids
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


def test_a_report_of_a_name_that_is_no_text_is_a_line_of_text(content, tmp_path, caplog):
    content["annotations"][0]["iscrowd"] = 1
    file = tmp_path / os.fsdecode(b"\xd6\xd0.json")
    file.write_text(json.dumps(content))
    with caplog.at_level("INFO", "ppose"):
        KeypointTopDownCocoDataset("images", str(file), [192, 256], COCO17)
    (line,) = caplog.messages
    assert rf"{tmp_path}/\xd6\xd0.json: 5 of 6" in line


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


def test_an_image_without_a_file_name_costs_its_people_alone(content, open_dataset):
    content["images"][0].pop("file_name")
    dataset = open_dataset(content)
    assert dataset.annotations.left_out == {"image without a file name": 1}
    assert len(dataset) == 5


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
