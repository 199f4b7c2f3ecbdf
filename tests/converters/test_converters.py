"""Converters to COCO's format against what the published tools write, field by field."""

import json
import shutil

import cv2
import numpy as np
import pytest
import runs

from ppose.converters.mpii import convert_mpii
from ppose.converters.posetrack import convert_posetrack
from ppose.converters.spacecraft import convert_spacecraft
from ppose.data import KeypointTopDownCocoDataset
from ppose.errors import DataError
from ppose.keypoints import get_keypoint_set


@pytest.fixture
def published(reference):
    """Function: the stored output of a published converter."""
    return lambda name: json.loads((reference / "reference" / "converters" / name).read_bytes())


@pytest.fixture
def release(reference, tmp_path):
    """MPII's folder as it comes: the .mat in one folder, the images in another beside it."""
    folder = tmp_path / "mpii" / "mpii_human_pose_v1_u12_2"
    folder.mkdir(parents=True)
    file = folder / "mpii_human_pose_v1_u12_1.mat"
    shutil.copy(reference / "reference" / "converters" / "mpii_small.mat", file)
    shutil.copytree(reference / "data" / "mpii", tmp_path / "mpii" / "images")
    return file


def assert_same(content, expected):
    """Equal, fields in the same order, numbers to the last digits that sums may differ in."""
    assert list(content) == list(expected)
    assert content["images"] == expected["images"]
    assert content["categories"] == expected["categories"]
    assert len(content["annotations"]) == len(expected["annotations"])
    for own, other in zip(content["annotations"], expected["annotations"], strict=True):
        assert list(own) == list(other)
        for field, value in other.items():
            assert own[field] == pytest.approx(value, rel=1e-12), field


@pytest.mark.parametrize("split", ["train", "test"])
def test_mpii_is_converted_as_published(release, published, split):
    expected = published(f"mpii2coco_{split}.json")
    assert_same(convert_mpii(release, split, None), expected)
    assert_same(convert_mpii(release.parent.parent, split, None), expected)


def test_posetrack_is_converted_as_published(reference, published):
    folder = reference / "data" / "posetrack18" / "annotations" / "val"
    expected = published("posetrack2coco_val2018.json")
    content = convert_posetrack(folder, None)
    assert_same(content, expected)
    alone = convert_posetrack(folder / "009473_mpii_test.json", reference / "data" / "posetrack18")
    assert alone["annotations"] == expected["annotations"][1:3]


@pytest.fixture
def labels(reference, tmp_path):
    """Labels of Envisat with three of their four images."""
    shutil.copy(
        reference / "reference" / "converters" / "spacecraft_envisat_in.json", tmp_path / "labels.json"
    )
    (tmp_path / "images").mkdir()
    for number in (0, 7, 1000):
        cv2.imwrite(str(tmp_path / "images" / f"frame{number}.jpg"), np.zeros((512, 512, 3), np.uint8))
    return tmp_path / "labels.json"


def test_spacecraft_are_converted_as_published(labels, published, caplog):
    expected = published("spacecraft_envisat_coco.json")
    content = convert_spacecraft(labels, "envisat16", None, None)
    # The published tool numbers annotations as the file system happens to list the images.
    assert sorted(a["id"] for a in expected["annotations"]) == [1, 2, 3]
    for number, annotation in enumerate(expected["annotations"], 1):
        annotation["id"] = number
    assert_same(content, expected)
    assert content["info"] == expected["info"]
    assert content["licenses"] == expected["licenses"]
    assert "1 of 4 images are missing" in caplog.text
    assert convert_spacecraft(labels.parent, "envisat16", labels.parent / "images", (512, 512)) == content


def test_other_spacecraft(labels):
    content = json.loads(labels.read_text())
    for label in content:
        label["features"] = label["features"][:11]
        label["label"] = label.pop("bbox")  # as SPEED's
    labels.write_text(json.dumps(content))
    tango = convert_spacecraft(labels, "tango11", None, None)
    assert tango["categories"][0]["id"] == 1
    assert tango["categories"][0]["name"] == "Tango"
    assert tango["categories"][0]["skeleton"][-1] == [4, 11]
    assert tango["info"]["description"].endswith("(SPEED)")
    assert tango["annotations"][0]["num_keypoints"] == 11


def test_spacecraft_in_folders_keep_them(labels):
    content = json.loads(labels.read_text())
    folder = labels.parent / "images" / "0-999"
    folder.mkdir()
    for label in content[:1]:
        (folder.parent / label["filename"]).rename(folder / label["filename"])
        label["filename"] = f"0-999/{label['filename']}"
    labels.write_text(json.dumps(content))
    images = convert_spacecraft(labels, "envisat16", None, None)["images"]
    assert images[0]["file_name"] == "0-999/frame0.jpg"
    assert images[0]["id"] == 0


def test_mpiis_file_can_be_trained_on(release, tmp_path):
    (tmp_path / "coco.json").write_text(json.dumps(convert_mpii(release, "train", None)))
    folder = str(release.parent.parent)
    dataset = KeypointTopDownCocoDataset(
        "", str(tmp_path / "coco.json"), [256, 256], get_keypoint_set("mpii16"), folder
    )
    assert len(dataset) == 4
    np.testing.assert_array_equal(dataset[0]["keypoints"][:2], [[804, 711], [816, 510]])
    assert dataset[0]["image"].shape == (720, 1280, 3)


def test_what_is_converted_can_be_trained_on(labels, tmp_path):
    (tmp_path / "coco.json").write_text(json.dumps(convert_spacecraft(labels, "envisat16", None, None)))
    dataset = KeypointTopDownCocoDataset(
        "images", "coco.json", [256, 256], get_keypoint_set("envisat16"), str(tmp_path)
    )
    assert len(dataset) == 3
    assert dataset[0]["image"].shape == (512, 512, 3)
    np.testing.assert_array_equal(dataset[0]["keypoints"][0], [207.703, 380.585])


def test_the_commands(run_script, reference, release, published, labels, tmp_path):
    for name, source, more, expected in (
        ("mpii", release, ["--split", "train"], "5 images, 4 annotations"),
        ("posetrack", reference / "data/posetrack18/annotations/val", [], "3 images, 14 annotations"),
        ("spacecraft", labels, ["--keypoint_set", "envisat16"], "3 images, 3 annotations"),
    ):
        output = tmp_path / f"{name}.json"
        script = f"dataset/converters/{name}2coco.py"
        result = run_script(script, "--input", source, "--output", output, *more)
        assert result.returncode == 0, result.stderr
        assert result.stdout == f"{output}: {expected}\n"
    assert_same(json.loads((tmp_path / "mpii.json").read_bytes()), published("mpii2coco_train.json"))


def break_labels(change):
    def change_file(labels):
        content = json.loads(labels.read_text())
        change(content)
        labels.write_text(json.dumps(content))

    return change_file


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda file: file.unlink(), "label file not found"),
        (lambda file: file.write_text("{}"), "expected a list of {filename, bbox, features}"),
        (lambda file: file.write_bytes(b"\x89PNG"), "not a JSON file"),
        (break_labels(lambda c: c[0].pop("features")), "frame0.jpg: has no features"),
        (break_labels(lambda c: c[0].pop("bbox")), "frame0.jpg: has no bbox"),
        (break_labels(lambda c: c[0].pop("filename")), "[0]: has no filename"),
        (break_labels(lambda c: c.append(c[0])), "frame0.jpg and frame0.jpg have the same number"),
        (break_labels(lambda c: c[0]["features"].pop()), "has 15 features, envisat16 has 16"),
        (break_labels(lambda c: c[0]["features"][3].pop("Visibility")), "features with Coordinates"),
        (lambda file: shutil.rmtree(file.parent / "images"), "images not found: none of"),
    ],
)
def test_bad_labels_of_spacecraft(run_script, labels, tmp_path, change, words):
    change(labels)
    result = run_script(
        "dataset/converters/spacecraft2coco.py", "--keypoint_set", "envisat16", "--input", labels,
        "--output", tmp_path / "out" / "coco.json",
    )  # fmt: skip
    runs.assert_one_line(result, words)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda file: file.unlink(), "annotation file not found"),
        (lambda file: file.write_bytes(b"no matlab" * 100), "not a MATLAB file that can be read"),
        (lambda file: file.write_bytes(b"MATLAB 7.3 MAT-file" + b"\0" * 200), "not a MATLAB file"),
        (lambda file: shutil.copy(file.parent / "other.mat", file), "it has no RELEASE"),
        (
            lambda file: (file.parent.parent / "images" / "052475643.jpg").unlink(),
            "images not found: no 0524",
        ),
    ],
)
def test_bad_releases_of_mpii(run_script, reference, release, tmp_path, change, words):
    scores = reference / "reference" / "evaluators" / "mpii" / "detections_our_format.mat"
    shutil.copy(scores, release.parent / "other.mat")
    change(release)
    result = run_script(
        "dataset/converters/mpii2coco.py", "--input", release, "--output", tmp_path / "coco.json"
    )
    runs.assert_one_line(result, words)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c["annotations"][0].pop("bbox"), "annotation 1003418000000: has no bbox"),
        (lambda c: c["annotations"][0]["keypoints"].pop(), "keypoints are not 51 numbers"),
        (lambda c: c["images"][0].pop("file_name"), "an image has no file_name"),
        (
            lambda c: c["images"][0].update(file_name="images/val/nowhere.jpg"),
            "images not found: no images/val",
        ),
        (lambda c: c["images"].append(c["images"][0]), "of an image of "),
        (lambda c: c["annotations"][0].pop("image_id"), "no image of the file has its image_id"),
        (lambda c: c.pop("images"), "not PoseTrack18's: it has no list 'images'"),
    ],
)
def test_bad_files_of_posetrack(run_script, reference, tmp_path, change, words):
    root = reference / "data" / "posetrack18"
    content = json.loads((root / "annotations" / "val" / "003418_mpii_test.json").read_bytes())
    change(content)
    (tmp_path / "video.json").write_text(json.dumps(content))
    result = run_script(
        "dataset/converters/posetrack2coco.py", "--input", tmp_path, "--image_dir", root,
        "--output", tmp_path / "out" / "coco.json",
    )  # fmt: skip
    runs.assert_one_line(result, words)


def test_an_empty_folder(run_script, tmp_path):
    for name, words in (("mpii", "0 .mat files"), ("posetrack", "no .json files"), ("spacecraft", "0 .json")):
        more = ["--keypoint_set", "tango11"] if name == "spacecraft" else []
        script = f"dataset/converters/{name}2coco.py"
        result = run_script(script, "--input", tmp_path, "--output", tmp_path / "out" / "o.json", *more)
        runs.assert_one_line(result, words)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"features": None}, "features with Coordinates"),
        ({"features": 16}, "features with Coordinates"),
        ({"Coordinates": [1]}, "features with Coordinates"),
        ({"Coordinates": [1, 2, 3]}, "features with Coordinates"),
        ({"Coordinates": [None, 2]}, "features with Coordinates"),
        ({"Coordinates": ["1", "2"]}, "features with Coordinates"),
        ({"Coordinates": [float("nan"), 2]}, "features with Coordinates"),
        ({"Visibility": "yes"}, "features with Coordinates"),
        ({"bbox": [1, 2, 3]}, "expected a bbox"),
        ({"bbox": [None, 2, 3, 4]}, "expected a bbox"),
        ({"bbox": [10, 20, 30, 30]}, "its bbox is [10, 20, 30, 30], expected [x_min, x_max"),
    ],
)
def test_a_wrong_label_of_a_spacecraft_is_named(labels, changes, words):
    content = json.loads(labels.read_text())
    for field, value in changes.items():
        (content[0] if field in ("features", "bbox") else content[0]["features"][3])[field] = value
    labels.write_text(json.dumps(content))
    with pytest.raises(DataError) as error:
        convert_spacecraft(labels, "envisat16", None, None)
    assert words in str(error.value)
    assert "frame0.jpg: " in str(error.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"keypoints": ["a"] * 51}, "annotation 7: keypoints are not 51 numbers"),
        ({"keypoints": [None] * 51}, "annotation 7: keypoints are not 51 numbers"),
        ({"bbox": ["a"] * 4}, "annotation 7: has no bbox"),
        ({"bbox": [None] * 4}, "annotation 7: has no bbox"),
        (None, "its 'annotations' are no list"),
    ],
)
def test_a_wrong_person_of_posetrack_is_named(tmp_path, changes, words):
    person = {"id": 7, "keypoints": [1, 2, 1] * 17, "bbox": [1, 2, 3, 4], **(changes or {})}
    content = {"images": [], "annotations": 5 if changes is None else [person]}
    (tmp_path / "video.json").write_text(json.dumps(content))
    with pytest.raises(DataError) as error:
        convert_posetrack(tmp_path / "video.json", None)
    assert words in str(error.value)
