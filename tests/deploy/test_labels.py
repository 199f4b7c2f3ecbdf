"""`ppose predict --save_labels` and `--save_csv`: what they write is read back."""

import csv
import json
import shutil
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from ppose.annotations import read_annotations
from ppose.cli import run_command
from ppose.formats.yolo_labels import read_yolo_labels
from ppose.inference.predictor import Predictor


@pytest.fixture
def label(photo, model_dir, tmp_path):
    """Runs the command on two copies of the crowd; gives its folder and the keypoint set."""
    (tmp_path / "in").mkdir()
    boxes = json.loads((tmp_path / "boxes.json").read_text())
    for name in ("a.png", "b.png"):
        shutil.copy(photo, tmp_path / "in" / name)
    of_both = [{**box, "image": name} for name in ("a.png", "b.png") for box in boxes]
    (tmp_path / "boxes.json").write_text(json.dumps(of_both))

    def _label(*options):
        source = ("--image_dir", tmp_path / "in", "--boxes", tmp_path / "boxes.json")
        output = ("--model_dir", model_dir, "--output_dir", tmp_path / "out", "--runtime", "onnxruntime")
        run_command("predict", [str(each) for each in (*source, *output, *options)])
        return tmp_path / "out"

    return _label


@pytest.fixture
def expected(model_dir, crowd):
    """The crowd's poses, by Python."""
    return Predictor.from_dir(model_dir, runtime="onnxruntime")(crowd[0], crowd[2])


def _check(content, expected):
    """What `read_annotations` makes of labels of both images is what was found."""
    read = read_annotations(content, expected.keypoint_set)
    assert sorted(read.images.file_names) == ["a.png", "b.png"]
    assert read.images.sizes.tolist() == [[320, 240]] * 2
    assert len(read.people.used) == 4
    for row, pose in enumerate([*expected, *expected]):
        np.testing.assert_allclose(read.people.keypoints[row], pose.keypoints, atol=1e-3)
        box = read.people.bboxes_xywh[row]
        np.testing.assert_allclose([*box[:2], *(box[:2] + box[2:])], pose.bbox_xyxy, atol=1e-3)
    assert (read.people.visibility == 2).all()


def test_cvat(label, expected):
    file = label("--save_labels", "cvat") / "labels.json"
    _check(file, expected)
    content = json.loads(file.read_text())
    # What CVAT's reader of COCO's keypoints (datumaro) refuses a file without.
    for annotation in content["annotations"]:
        kinds = {key: type(annotation[key]) for key in ("id", "image_id", "category_id", "iscrowd")}
        assert set(kinds.values()) == {int}
        assert annotation["segmentation"] == []
    assert content["categories"][0]["skeleton"] == [[1, 2]]
    assert len({annotation["id"] for annotation in content["annotations"]}) == 4


def test_cvats_own_file_of_them_says_the_same(label, expected, tmp_path):
    """What a correction in CVAT begins with, and what is converted of it when it comes back."""
    out = label("--save_labels", "cvat")
    run_command("convert", [str(out / "labels.json"), str(tmp_path / "cvat.xml")])
    run_command("convert", [str(tmp_path / "cvat.xml"), str(tmp_path / "again.json")])
    _check(tmp_path / "again.json", expected)
    point = ET.parse(tmp_path / "cvat.xml").getroot().find(".//skeleton/points[@label='red']")
    x, y = map(float, point.get("points").split(","))
    np.testing.assert_allclose([x, y], expected[0].keypoints[0], atol=1e-3)


def test_yolo(label, expected, tmp_path):
    folder = label("--save_labels", "yolo") / "labels"
    assert sorted(file.name for file in folder.iterdir()) == ["a.txt", "b.txt"]
    _check(read_yolo_labels(folder, tmp_path / "in", expected.keypoint_set), expected)


def test_labelme(label, expected):
    folder = label("--save_labels", "labelme") / "labels"
    images, annotations = [], []
    for number, file in enumerate(sorted(folder.iterdir()), start=1):
        content = json.loads(file.read_text())
        size = {"width": content["imageWidth"], "height": content["imageHeight"]}
        images.append({"id": number, "file_name": content["imagePath"], **size})
        groups = {}
        for shape in content["shapes"]:
            groups.setdefault(shape["group_id"], {})[shape["label"]] = np.array(shape["points"])
        for group, shapes in groups.items():
            box = shapes.pop("person")
            annotations.append(
                {
                    "id": f"{number}_{group}", "image_id": number, "category_id": 1,
                    "bbox": [*box[0], *(box[1] - box[0])],
                    "keypoints": [[*shapes[name][0], 2] for name in ("red", "blue")],
                }
            )  # fmt: skip
    _check({"images": images, "annotations": annotations}, expected)


def test_label_studio(label, expected):
    folder = label("--save_labels", "labelstudio")
    tasks = json.loads((folder / "labels.json").read_text())
    images, annotations = [], []
    for number, task in enumerate(tasks, start=1):
        images.append({"id": number, "file_name": task["data"]["image"], "width": 320, "height": 240})
        people = {}
        for region in task["predictions"][0]["result"]:
            assert (region["original_width"], region["original_height"]) == (320, 240)
            value = region["value"]
            x, y = value["x"] * 3.2, value["y"] * 2.4
            if region["type"] == "rectanglelabels":
                box = [x, y, value["width"] * 3.2, value["height"] * 2.4]
                people[region["id"]] = {"bbox": box, "keypoints": []}
            else:  # in the order of the keypoint set
                people[region["parentID"]]["keypoints"] += [x, y, 2]
        for person in people.values():
            annotations.append({"id": len(annotations), "image_id": number, "category_id": 1, **person})
    _check({"images": images, "annotations": annotations}, expected)
    view = ET.fromstring((folder / "labels.xml").read_text())
    controls = {region["from_name"] for task in tasks for region in task["predictions"][0]["result"]}
    assert controls == {view.find("RectangleLabels").get("name"), view.find("KeyPointLabels").get("name")}
    assert [each.get("value") for each in view.findall("KeyPointLabels/Label")] == ["red", "blue"]
    assert view.find("Image").get("value") == "$image"


def test_a_threshold_leaves_keypoints_unlabelled(label, expected):
    folder = label("--save_labels", "cvat", "--threshold", "2")
    for annotation in json.loads((folder / "labels.json").read_text())["annotations"]:
        assert annotation["keypoints"] == [0] * 6


def test_csv(label, expected):
    with open(label("--save_csv") / "keypoints.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["image"], row["person"]) for row in rows] == [
        (name, number) for name in ("a.png", "b.png") for number in "12"
    ]
    for row, pose in zip(rows, [*expected, *expected], strict=True):
        found = [float(row[f"{name}_{part}"]) for name in ("red", "blue") for part in ("x", "y", "score")]
        np.testing.assert_allclose(found, pose.to_array().ravel(), rtol=1e-5)


def test_videos_have_no_labels(infer_here, tmp_path):
    result = infer_here("--camera_id", "0", "--save_labels", "cvat")
    assert result.returncode == 2
    assert "--save_csv and --save_labels are for images" in result.stderr
