"""`ppose check`: a clean set finds nothing, and what is planted is found, with its ids."""

import json
import shutil

import cv2
import numpy as np
import pytest

from ppose.annotations.guess import guess_keypoint_set
from ppose.data.synthetic import write_dataset
from ppose.errors import DataError
from ppose.keypoints import get_keypoint_set

COCO17 = get_keypoint_set("coco17")


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """Drawn people who mostly face the camera: train/ and val/."""
    folder = tmp_path_factory.mktemp("clean")
    write_dataset(folder / "train", 60, seed=3, size=(160, 160), people=(2, 2), variety=0.25)
    write_dataset(folder / "val", 4, seed=3, size=(160, 160), first_index=1000, variety=0.25)
    return folder


@pytest.fixture
def planted(clean, tmp_path):
    """A copy of the clean set, and a function that changes the people of train/."""
    shutil.copytree(clean, tmp_path / "planted")
    file = tmp_path / "planted" / "train" / "annotations.json"

    def _plant(change):
        content = json.loads(file.read_text())
        change(content)
        file.write_text(json.dumps(content))
        return tmp_path / "planted"

    return _plant


@pytest.fixture
def check(capsys, tmp_path):
    """Runs the command in this process; gives the exit code and what it printed."""
    from ppose.cli import run_command

    def _check(*arguments):
        with pytest.raises(SystemExit) as left:
            run_command("check", [*map(str, arguments), "--output_dir", str(tmp_path / "sheets")])
        printed = capsys.readouterr()
        return left.value.code, printed.out, printed.err

    return _check


def lines_of(printed, kind):
    return [line for line in printed.splitlines() if kind in line]


def swap(person, pairs):
    points = np.reshape(person["keypoints"], (-1, 3))
    for a, b in pairs:
        points[[a, b]] = points[[b, a]]
    person["keypoints"] = points.ravel().tolist()


def test_a_clean_set_finds_nothing(check, clean, tmp_path):
    code, printed, _ = check(clean)
    assert code == 0
    assert printed.count("nothing found") == 2
    assert "train: 1" in printed
    assert not (tmp_path / "sheets").exists()


def test_swapped_people_are_found_with_their_ids(check, planted, tmp_path):
    """One in twenty has all of left and right swapped."""

    def change(content):
        facing = [a for a in content["annotations"] if min(a["keypoints"][2:9:3]) == 2]
        for person in facing[10::20]:
            swap(person, COCO17.flip_pairs)
            swapped.append(person["id"])

    swapped = []
    code, printed, _ = check(planted(change))
    assert code == 1
    assert len(swapped) >= 4
    (line,) = lines_of(printed, "left and right look swapped")
    assert line.split()[:2] == ["wrong", str(len(swapped))]
    assert all(f"{person} (all)" in line for person in swapped)
    (finding,) = json.loads((tmp_path / "sheets" / "train.json").read_text())
    assert finding["examples"] == [f"{person} (all)" for person in swapped]
    sheet = cv2.imread(str(tmp_path / "sheets" / "train.png"))
    assert sheet.shape == (274, 200 * len(swapped), 3)


def test_one_swapped_pair_is_found_with_its_name(check, planted):
    def change(content):
        whole = [a for a in content["annotations"] if min(a["keypoints"][2::3]) == 2]
        person = max(whole, key=lambda a: abs(a["keypoints"][15] - a["keypoints"][18]) / a["bbox"][3])
        swap(person, [(5, 6)])
        swapped.append(person["id"])

    swapped = []
    code, printed, _ = check(planted(change))
    assert code == 1
    assert f"{swapped[0]} (left_shoulder and right_shoulder)" in printed


def test_each_fault_is_found(check, planted):
    def change(content):
        people = content["annotations"]
        seen = [a for a in people if min(a["keypoints"][2::3]) == 2]
        seen[0]["keypoints"][30] = 500.0
        seen[1]["bbox"] = [seen[1]["keypoints"][0], seen[1]["keypoints"][1], 15, 15]
        people.append({**seen[2], "id": 9001})
        people[5]["iscrowd"] = 1
        content["images"][0]["width"] = 300
        content["images"][1]["file_name"] = "gone.jpg"

    folder = planted(change)
    images = folder / "train" / "images"
    names = sorted(file.name for file in images.iterdir())
    shutil.copy(images / names[10], images / names[11])
    shutil.copy(
        images / names[20], folder / "val" / "images" / sorted((folder / "val" / "images").iterdir())[0]
    )
    code, printed, _ = check(folder)
    assert code == 1
    for kind, words in (
        ("keypoints outside of the image", "wrong"),
        ("keypoints outside of the box", "odd"),
        ("box below 20 x 20 pixels", "odd"),
        ("annotated twice: 9001", "wrong"),
        ("crowd", "left out"),
        (f"images of another size: {names[0]} (160 x 160, stated 300 x 160)", "wrong"),
        ("images that cannot be read: image not found: ", "wrong"),
        (f"images that are the same: {names[10]} = {names[11]}", "wrong"),
        ("images that are in train too", "wrong"),
    ):
        (line,) = lines_of(printed, kind)
        assert line.split()[0] == words.split()[0], line


def test_keypoints_in_parts_of_the_image_are_no_pixels(check, planted):
    def change(content):
        for person in content["annotations"]:
            person["keypoints"] = [v / 160 if i % 3 < 2 else v for i, v in enumerate(person["keypoints"])]

    code, printed, _ = check(planted(change))
    assert code == 1
    assert lines_of(printed, "keypoints from 0 to 1, not in pixels")


def test_other_labels_than_the_names_are_one_error(check, planted):
    def change(content):
        for person in content["annotations"]:
            person["keypoints"] = person["keypoints"][:42]

    code, printed, message = check(planted(change))
    assert (code, printed) == (1, "")
    assert "annotation 1 has 14 keypoints, the keypoint set 'coco17' has 17" in message


def test_a_config_is_checked_as_it_would_train(check, clean):
    places = [
        f"{key}Dataset.{name}={value}"
        for key, part in (("Train", "train"), ("Eval", "val"))
        for name, value in (
            ("dataset_dir", clean / part), ("image_dir", "images"), ("anno_path", "annotations.json")
        )
    ]  # fmt: skip
    code, printed, _ = check("configs/tinypose_128x96.yml", "-o", *places)
    assert code == 0
    assert [line.split(":")[0] for line in printed.splitlines()[::2]] == ["TrainDataset", "EvalDataset"]


def test_what_is_not_there_is_one_error(check, tmp_path):
    for given, words in (
        (tmp_path, "no annotations.json in it"),
        (tmp_path / "none.json", "annotation file not found"),
        ("no_such_config.yml", "config file not found"),
    ):
        code, _, message = check(given)
        assert code == 1
        assert words in message


def test_the_keypoint_set_of_a_file(tmp_path):
    def guess(names, count=0):
        people = [{"keypoints": [1, 1, 2] * count}]
        content = {"categories": [{"id": 1, "keypoints": names}], "annotations": people}
        (tmp_path / "a.json").write_text(json.dumps(content))
        return guess_keypoint_set(tmp_path / "a.json")

    assert guess(list(COCO17.names)) is COCO17
    with pytest.raises(DataError, match=r"a\.json: no annotation has keypoints"):
        guess([])
    with pytest.raises(DataError, match=r"a\.json: which 5 keypoints"):
        guess([], 5)
    assert guess([], 14).name == "crowdpose14"
    own = guess(["tip", "tail_left", "RightTail", "left_fin"])
    assert (own.names, own.flip_pairs) == (("tip", "tail_left", "RightTail", "left_fin"), ((1, 2),))
