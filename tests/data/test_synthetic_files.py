"""Made-up people as files in COCO's format, and as samples on the fly."""

import json
import os
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from ppose.data import KeypointTopDownCocoDataset
from ppose.data.synthetic import SyntheticPeopleDataset, render_scene, write, write_dataset
from ppose.errors import DataError, DeviceError
from ppose.keypoints import get_keypoint_set

COCO17 = get_keypoint_set("coco17")


def read_points(annotation):
    return np.reshape(annotation["keypoints"], (-1, 3))


def read_all(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_two_runs_write_equal_bytes_that_the_dataset_reads(tmp_path):
    people = write_dataset(tmp_path / "a", 6, 2)
    assert write_dataset(tmp_path / "b", 6, 2, workers=2) == people
    assert read_all(tmp_path / "a") == read_all(tmp_path / "b")
    assert len(read_all(tmp_path / "a")) == 7
    coco = COCO(str(tmp_path / "a" / "annotations.json"))
    assert coco.loadCats(1)[0]["keypoints"] == list(COCO17.names)
    assert len(coco.getAnnIds()) == people
    dataset = KeypointTopDownCocoDataset(
        "images", "annotations.json", [192, 256], COCO17, str(tmp_path / "a")
    )
    assert len(dataset) == people
    image, annotations = render_scene(2, 0)
    sample = dataset[0]
    assert np.abs(sample["image"].astype(int) - image).mean() < 12  # what JPEG takes
    np.testing.assert_allclose(sample["keypoints"], read_points(annotations[0])[:, :2])
    np.testing.assert_array_equal(sample["visible"], read_points(annotations[0])[:, 2] > 0)


def test_an_interrupted_run_leaves_no_annotations(tmp_path, monkeypatch):
    write_dataset(tmp_path, 2, 0)
    calls = []

    def stop(*arguments, **options):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return render_scene(*arguments, **options)

    monkeypatch.setattr(write, "render_scene", stop)
    with pytest.raises(KeyboardInterrupt):
        write_dataset(tmp_path, 5, 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images"]
    monkeypatch.undo()
    write_dataset(tmp_path, 2, 0)
    assert len(json.loads((tmp_path / "annotations.json").read_text())["images"]) == 2


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"images": 0}, "got 0 images"),
        ({"workers": 0}, "by 0 processes"),
        ({"seed": -1}, "got seed -1"),
        ({"people": (0, 2)}, r"people \(0, 2\)"),
        ({"people": (3, 2)}, r"people \(3, 2\)"),
        ({"size": (8, 8)}, r"size \(8, 8\)"),
        ({"variety": 1.5}, "variety 1.5"),
    ],
)
def test_impossible_arguments_are_named(tmp_path, arguments, expected):
    with pytest.raises(DataError, match=expected):
        write_dataset(tmp_path, **{"images": 1, "seed": 0, **arguments})


def test_samples_on_the_fly_are_like_those_of_files():
    dataset = SyntheticPeopleDataset([96, 128], COCO17, num_images=5, seed=3)
    assert len(dataset) == 5
    sample = dataset[4]
    annotations = render_scene(3, 4, (96, 128), (1, 2))[1]
    person = max(annotations, key=lambda annotation: annotation["area"])
    x, y, w, h = person["bbox"]
    np.testing.assert_allclose(sample["center"], [x + w / 2, y + h / 2])
    np.testing.assert_allclose(sample["scale"][1], 1.25 * max(h, w * 128 / 96))
    np.testing.assert_allclose(sample["keypoints"], read_points(person)[:, :2])
    np.testing.assert_array_equal(sample["visible"], read_points(person)[:, 2] > 0)
    with pytest.raises(DataError, match="mpii16"):
        SyntheticPeopleDataset([96, 128], get_keypoint_set("mpii16"))


def test_the_command_writes_both_parts(tmp_path, run_script):
    done = run_script(
        "dataset/make_synthetic.py", "--output", tmp_path, "--images", 3, "--val_images", 2, "--workers", 2
    )
    assert done.returncode == 0, done.stderr
    assert [line.split(":")[1].split(",")[0] for line in done.stdout.splitlines()] == [
        " 3 images",
        " 2 images",
    ]
    pictures = []
    for name, images in (("train", 3), ("val", 2)):
        content = json.loads((tmp_path / name / "annotations.json").read_text())
        files = [tmp_path / name / "images" / image["file_name"] for image in content["images"]]
        assert len(files) == images
        pictures += [cv2.imread(str(file)).tobytes() for file in files]
    assert len(set(pictures)) == 5
    alone = run_script(
        "dataset/make_synthetic.py", "--output", tmp_path / "alone", "--images", 0, "--val_images", 1
    )
    assert alone.returncode == 0, alone.stderr
    assert [folder.name for folder in (tmp_path / "alone").iterdir()] == ["val"]
    failed = run_script("dataset/make_synthetic.py", "--output", tmp_path, "--images", -1)
    assert failed.returncode == 1
    assert failed.stderr.strip().splitlines()[-1].startswith("error: got -1 images")


def test_a_process_that_is_killed_is_reported(tmp_path):
    """A pool of multiprocessing's waits for ever then."""
    with pytest.raises(DeviceError, match="a process that draws images has ended"):
        write._write_scenes(tmp_path, 4, 0, 0, {}, os._exit, 2)


def test_a_pools_processes_end_with_a_killed_parent(tmp_path):
    """They hold its stdout open as long as they run."""
    command = [sys.executable, "dataset/make_synthetic.py", "--output", tmp_path, "--images", "100000"]
    command += ["--workers", "2"]
    with subprocess.Popen([str(each) for each in command], stdout=subprocess.PIPE) as process:
        end = time.monotonic() + 60
        while not any(tmp_path.rglob("*.jpg")) and time.monotonic() < end:
            time.sleep(0.05)
        process.kill()
        process.communicate(timeout=20)
