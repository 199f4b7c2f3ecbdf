"""`ppose browse`: what is drawn is what training gets, and the twin is its mirror image."""

import html
import re

import cv2
import numpy as np
import pytest

from ppose.cli import run_command
from ppose.data.browsing import Mirror, draw_samples, list_keypoints
from ppose.data.reader import PreparedSamples
from ppose.engine.task import Task
from ppose.workspace import load_config

CONFIG = """
_BASE_: [_base_/coco_topdown.yml, _base_/lite_hrnet.yml]
trainsize: [96, 128]
hmsize: [24, 32]
weights: output/model_final
TrainDataset: !KeypointTopDownCocoDataset {{dataset_dir: {0}, image_dir: images, anno_path: annotations.json}}
"""
NO_MIRROR = """
prob_flip: 0
num_joints: 17
KeypointSet: {name: own, names: [%s], flip_pairs: [], can_flip: false}
TopDownHRNet: {flip: false}
"""


@pytest.fixture
def config(coco_folder, tmp_path):
    (tmp_path / "own.yml").write_text(CONFIG.format(coco_folder))
    return tmp_path / "own.yml"


@pytest.fixture
def task(config):
    return Task(load_config(config))


def draw(task, count):
    reader = task.reader("TrainReader")
    return list(
        draw_samples(task.dataset("TrainDataset"), reader, task.keypoint_set, task.codec, count=count, seed=5)
    )


def test_the_pictures_are_of_the_samples_that_training_gets(task):
    drawn = draw(task, 6)
    assert len(drawn) == 6
    prepared = PreparedSamples(task.dataset("TrainDataset"), task.reader("TrainReader").sample_transforms, 5)
    for index, (words, picture) in enumerate(drawn):
        assert words.startswith(f"sample {index}, 00000000000")
        assert ("mirrored" in words) == prepared[index]["flip"]
        assert picture.dtype == np.uint8
        assert picture.shape[2] == 3
    assert len({picture.shape for _, picture in drawn}) == 1


def test_the_twin_is_the_mirror_image_with_left_and_right_swapped(task, coco_folder):
    """By images and heatmaps: mirrored, they are equal but for a pixel's shift."""
    for file in (coco_folder / "images").iterdir():
        cv2.imwrite(str(file), cv2.GaussianBlur(cv2.imread(str(file)), (0, 0), 12) * 2)
    for _, picture in draw(task, 4):
        panels = [p.astype(float) for p in np.split(picture[24:, :-230], 4, axis=1)]
        assert abs(panels[1] - panels[3][:, ::-1]).mean() < 0.3 * abs(panels[1] - panels[3]).mean()
    reader, known = task.reader("TrainReader"), task.keypoint_set
    steps = list(reader.sample_transforms)
    dataset = task.dataset("TrainDataset")
    own = PreparedSamples(dataset, steps, 5)[0]
    twin = PreparedSamples(dataset, [*steps[:1], Mirror(), *steps[1:]], 5)[0]
    mirrored = own["keypoints"][known.flip_indices] * [-1, 1] + [96, 0]
    np.testing.assert_allclose(twin["keypoints"], mirrored, atol=1.01)
    np.testing.assert_array_equal(twin["target_weight"] > 0, own["target_weight"][known.flip_indices] > 0)


def test_pairs_are_named(task):
    lines = list_keypoints(task.keypoint_set)
    assert lines[:3] == ["0 nose", "1 left_eye <-> 2", "2 right_eye <-> 1"]


def test_things_without_a_mirror_image_have_no_twin(task, config):
    whole = draw(task, 1)[0][1]
    config.write_text(config.read_text() + NO_MIRROR % ", ".join(f"k{number}" for number in range(17)))
    alone = draw(Task(load_config(config)), 1)[0][1]
    assert alone.shape[1] - 230 == (whole.shape[1] - 230) // 2


def test_a_page_holds_all_it_needs(config, tmp_path, capsys):
    file = tmp_path / "browse.html"
    run_command("browse", ["-c", str(config), "--samples", "3", "--output", str(file)])
    text = file.read_text()
    assert text.count("data:image/jpeg;base64,") == 3
    assert not re.search(r"(src|href)=\"(?!data:|#)", text)
    assert "1 left_eye <-> 2" in html.unescape(text)
    assert "3 samples" in capsys.readouterr().out


def test_a_folder_of_pictures(config, tmp_path):
    run_command("browse", ["-c", str(config), "--samples", "2", "--output", str(tmp_path / "b")])
    assert sorted(file.name for file in (tmp_path / "b").iterdir()) == ["0001.png", "0002.png"]
