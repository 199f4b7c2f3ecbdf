"""docs/tutorials/own_keypoints.md: its examples are read as they stand, its commands run, its errors real."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from ppose.engine.task import Task
from ppose.errors import ConfigError, DataError
from ppose.formats import read_labels
from ppose.workspace import load_config

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "tutorials" / "own_keypoints.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def commands():
    lines = "".join(blocks("bash")).replace("\\\n", " ").splitlines()
    return [shlex.split(line) for line in lines]


@pytest.fixture
def checkout(tmp_path):
    """A folder like a fresh clone, with the page's files in the places that it names."""
    for name in ("tools", "ppose", "deploy"):
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    config, _ = blocks("yaml")
    assert "pretrain_weights: tinypose_256x192" in config
    config = config.replace(
        "pretrain_weights: tinypose_256x192", "pretrain_weights: null"
    )  # no publisher here
    (tmp_path / "configs" / "arrow.yml").write_text(config)
    (annotations,) = blocks("json")
    folder = tmp_path / "dataset" / "arrow"
    (folder / "images").mkdir(parents=True)
    image = np.random.default_rng(0).integers(0, 255, (240, 320, 3), dtype=np.uint8)
    cv2.imwrite(str(folder / "images" / "street.jpg"), image)
    for part in ("train", "val"):
        (folder / f"{part}.json").write_text(annotations)
    shutil.copy(ROOT / "dataset" / "make_synthetic.py", tmp_path / "dataset")
    return tmp_path


def load_arrow(checkout, *overrides):
    data = [f"{key}Dataset.dataset_dir={checkout}/dataset/arrow" for key in ("Train", "Eval")]
    return load_config(checkout / "configs" / "arrow.yml", [*data, *overrides])


def test_the_pages_label_and_config_give_the_sample_that_it_describes(checkout):
    task = Task(load_arrow(checkout))
    assert task.keypoint_set.names == ("tip", "left_tail", "right_tail")
    assert task.keypoint_set.flip_pairs == ((1, 2),)
    dataset = task.dataset("TrainDataset")
    assert len(dataset) == 1
    np.testing.assert_array_equal(dataset[0]["keypoints"], [[130, 55], [105, 165], [0, 0]])
    np.testing.assert_array_equal(dataset[0]["visible"], [1, 1, 0])
    assert task.test.flip
    assert task.model().final_conv.weight.shape[0] == 3


def test_the_pages_way_to_switch_flips_off(checkout):
    config, off = blocks("yaml")
    (checkout / "configs" / "arrow.yml").write_text(config + off)
    task = Task(load_arrow(checkout))
    assert not task.test.flip
    samples = task.reader("TrainReader").batches(task.dataset("TrainDataset"), workers=0)._prepared
    for epoch in range(40):
        samples.epoch = epoch
        assert samples[0]["flip"] is False


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("num_joints=17", "num_joints is 17, the keypoint set 'arrow' has 3"),
        (
            "KeypointSet.flip_pairs=[[left_tial,right_tail]]",
            "flip_pairs has 'left_tial', expected one of its names or indexes; did you mean 'left_tail'?",
        ),
        ("KeypointSet.sigmas=[0.05,0.05]", "2 sigmas for 3 keypoints"),
        ("KeypointSet.names=[tip,left_tail,right_tail,tip]", "names has 'tip' twice"),
        ("TopDownHRNet.flip_perm=[[0,1]]", "flip_perm is not the flip pairs of the keypoint set 'arrow'"),
    ],
)
def test_mistakes_in_the_config_are_reported_as_the_page_shows(checkout, override, words):
    plus = "" if not override.startswith("TopDownHRNet.flip_perm") else "+"
    with pytest.raises(ConfigError) as error:
        Task(load_arrow(checkout, plus + override))
    assert words in str(error.value)
    assert "\n" not in str(error.value)
    if not plus:
        assert words in PAGE


def change_annotations(checkout, part, change):
    file = checkout / "dataset" / "arrow" / f"{part}.json"
    content = json.loads(file.read_text())
    change(content["annotations"][0])
    file.write_text(json.dumps(content))
    return file


def test_nothing_labelled(checkout):
    change_annotations(checkout, "train", lambda a: a.update(keypoints=[130, 55, 0, 105, 165, 0, 0, 0, 0]))
    words = "no usable person: nobody has a box with labelled keypoints"
    with pytest.raises(DataError, match=words):
        Task(load_arrow(checkout)).dataset("TrainDataset")
    assert words in PAGE


@pytest.mark.parametrize(("tool", "part"), [("train", "train"), ("train", "val"), ("eval", "val")])
def test_another_keypoint_count_in_the_file(checkout, tool, part):
    file = change_annotations(checkout, part, lambda a: a["keypoints"].extend([9, 9, 2]))
    run = [sys.executable, f"tools/{tool}.py", "-c", "configs/arrow.yml"] + ["--eval"] * (tool == "train")
    result = subprocess.run(run, cwd=checkout, capture_output=True, text=True)
    assert result.returncode == 1
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    words = "annotation 1 has 4 keypoints, the keypoint set 'arrow' has 3"
    assert f"{file.relative_to(checkout)}: {words}" in line
    assert "KeypointSet block, and set num_joints" in line
    assert "Traceback" not in result.stderr
    assert words in PAGE


def test_the_pages_figures_of_oks():
    """exp(-d^2 / (2 s^2 (2 sigma)^2)) is 1/2 and 3/4 at the distances that the page gives."""
    for share, of_page, pixels in ((0.5, "2.4 sigma s", 12), (0.75, "1.5 sigma s", 8)):
        distance = 2 * np.sqrt(-2 * np.log(share))  # in sigma s
        assert f"{distance:.1f} sigma s" == of_page
        assert round(distance * 0.05 * 100) == pixels
        assert of_page in PAGE
    assert "12 and 8 pixels" in PAGE


SMALL = {
    "make_synthetic.py": ["--images", "6", "--val_images", "3"],
    "train.py": ["-o", "epoch=1", "snapshot_epoch=1", "TrainReader.batch_size=4", "worker_num=0"],
    "eval.py": ["-o", "worker_num=0"],
}


def draw_arrows(rng):
    """An image (240, 320, 3) of one or two arrows on a road, and labelme's shapes of them."""
    image = cv2.GaussianBlur(rng.integers(60, 120, (240, 320, 3), dtype=np.uint8), (0, 0), 3)
    image = (image * rng.uniform(0.6, 1.2)).astype(np.uint8)
    image[: int(rng.integers(20, 90))] += np.array(rng.integers(0, 90, 3), np.uint8)
    shapes = []
    for group in range(1, int(rng.integers(2, 4))):
        middle = np.array([160 * group - 80, 120]) + rng.uniform(-20, 20, 2)
        angle, size = rng.uniform(0, 2 * np.pi), rng.uniform(35, 55)
        ahead = size * np.array([np.cos(angle), np.sin(angle)])
        left = 0.6 * np.array([ahead[1], -ahead[0]])
        points = {
            "tip": middle + ahead,
            "left_tail": middle - ahead + left,
            "right_tail": middle - ahead - left,
        }
        corners = np.array(list(points.values()))
        cv2.fillPoly(image, [corners.round().astype(np.int32)], (235, 235, 235))
        box = [corners.min(axis=0) - 4, corners.max(axis=0) + 4]
        kinds = [("arrow", "rectangle", box), *((name, "point", [xy]) for name, xy in points.items())]
        for label, kind, values in kinds:
            hidden = {"hidden": True} if label == "left_tail" and rng.random() < 0.2 else {}
            shapes.append(
                {
                    "label": label, "points": np.array(values).tolist(), "group_id": group,
                    "shape_type": kind, "flags": hidden,
                }
            )  # fmt: skip
    return image, shapes


def label_photos(folder, count):
    """Photos with labelme's files beside them; returns how many arrows there are."""
    rng, arrows = np.random.default_rng(0), 0
    for number in range(count):
        image, shapes = draw_arrows(rng)
        cv2.imwrite(str(folder / f"road{number}.jpg"), image)
        size = {"imageHeight": 240, "imageWidth": 320}
        content = {"version": "5.4.1", "flags": {}, "imageData": None, **size}
        content |= {"shapes": shapes, "imagePath": f"road{number}.jpg"}
        (folder / f"road{number}.json").write_text(json.dumps(content))
        arrows += len(shapes) // 4
    return arrows


@pytest.mark.heavy
def test_every_command_of_the_page_runs(checkout):
    """As it stands there, from labelme's files to poses, but with a few photos and one epoch."""
    arrow = checkout / "dataset" / "arrow"
    shutil.rmtree(arrow)
    (arrow / "images").mkdir(parents=True)
    arrows = label_photos(arrow / "images", 25)
    outputs = {}
    for command in commands():
        assert command[0] == "python"
        small = SMALL.get(Path(command[1]).name, [])
        run = [sys.executable, *command[1:], *small]
        result = subprocess.run(run, cwd=checkout, capture_output=True, text=True)
        assert result.returncode == 0, (command, result.stdout, result.stderr)
        outputs[" ".join(command[1:])] = result.stdout
    assert len(outputs) == 16
    said = list(outputs.values())
    assert "6 images, 6 satellites" in said[0]
    assert f"25 images, {arrows} people, 3 keypoints (coco)" in said[4]
    assert "nothing found" in said[5]
    parts = [json.loads((arrow / f"{part}.json").read_text()) for part in ("train", "val")]
    assert [len(part["images"]) for part in parts] == [20, 5]
    of_val = len(parts[1]["annotations"])
    for file in ("browse.html", "errors.html"):
        assert "data:image/" in (checkout / "output" / file).read_text()
    poses = json.loads((checkout / "output" / "keypoints.json").read_text())
    assert [len(pose["keypoints"]) for pose in poses] == [9] * of_val
    known = Task(load_config(checkout / "configs" / "arrow.yml")).keypoint_set
    given, read_again = (  # few are sure after an epoch
        read_labels(checkout / "output" / f"labels.{ending}", keypoint_set=known)
        for ending in ("json", "xml")
    )
    for labelled in (given, read_again):
        assert (len(labelled.annotations.images), len(labelled.people)) == (25, of_val)
    for column in ("images", "bboxes_xywh", "visibility"):
        np.testing.assert_allclose(*(getattr(side.people, column) for side in (read_again, given)))
    seen = given.people.visibility > 0
    np.testing.assert_allclose(read_again.people.keypoints[seen], given.people.keypoints[seen])
    for name, count, pictures, people in (("synthetic_satellite", 11, 3, 3), ("arrow", 3, 25, of_val)):
        folder = checkout / "output" / name
        assert (folder / "model_final.pdparams").is_file()
        poses = json.loads((folder / "vis" / "keypoints.json").read_text())
        assert [len(pose["keypoints"]) for pose in poses] == [3 * count] * people
        assert len(list((folder / "vis").glob("*.jpg"))) == pictures
