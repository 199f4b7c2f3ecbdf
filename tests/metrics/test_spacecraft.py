"""The metric of spacecraft on drawn satellites: truth as prediction, known errors, and poses."""

import json

import numpy as np
import pytest

from ppose.data import KeypointTopDownCocoDataset
from ppose.data.synthetic import satellite, write_satellites
from ppose.errors import DataError
from ppose.keypoints import make_keypoint_set
from ppose.metrics import SpacecraftMetric, format_table

SET = make_keypoint_set("satellite", satellite.NAMES, [], can_flip=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("satellites")
    write_satellites(folder, 5, seed=1)
    return folder


def evaluate(folder, offset=(0.0, 0.0), trainsize=(64, 64), **options):
    dataset = KeypointTopDownCocoDataset("images", "annotations.json", trainsize, SET, str(folder))
    metric = SpacecraftMetric(dataset.annotations, SET, trainsize, **options)
    people = dataset.annotations.people
    scores = np.where(people.visibility > 0, 0.9, 0.0)
    for part in (slice(0, 2), slice(2, 5)):
        columns = (dataset.image_ids[part], dataset.areas[part], dataset.bbox_scores[part])
        metric.update(people.keypoints[part] + offset, scores[part], *columns)
    return metric.compute(), dataset


def test_truth_as_prediction(folder):
    found, _ = evaluate(folder, model=str(folder / "model.json"))
    assert found["AP"] == 1
    assert found["error_px"] == found["error_px_visible"] == found["error_over_scale"] == 0
    assert found["poses"] == 1
    assert found["speed"] < 0.01  # annotations have two digits
    assert 0 < found["error_t_m"] < 0.05
    assert {f"error_px {name}" for name in SET.names} <= found.keys()
    assert max(map(len, format_table(found, "own boxes").splitlines())) <= 110


@pytest.mark.parametrize("trainsize", [(64, 64), (64, 128)])
def test_errors_are_in_pixels_and_in_scales_of_the_box(folder, trainsize):
    found, dataset = evaluate(folder, offset=(3.0, 4.0), trainsize=trainsize)
    assert found["error_px"] == pytest.approx(5)
    assert found["error_px_visible"] == pytest.approx(5)
    assert found["error_px panel_front_left"] == pytest.approx(5)
    scales = np.stack([dataset[index]["scale"] for index in range(len(dataset))]) / 200
    expected = np.linalg.norm(np.array([3.0, 4.0]) / scales, axis=1).mean()
    assert found["error_over_scale"] == pytest.approx(expected)
    assert "speed" not in found


def test_what_is_not_visible_counts_as_published_and_not_in_the_other(folder, tmp_path):
    content = json.loads((folder / "annotations.json").read_text())
    for annotation in content["annotations"]:
        annotation["keypoints"][:3] = [10.0, 20.0, 0]
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    (tmp_path / "images").symlink_to(folder / "images")
    found, _ = evaluate(tmp_path, offset=np.where(np.arange(11) == 0, 11.0, 0.0)[:, None] * [0, 1])
    assert found["error_px"] == pytest.approx(1)
    assert found["error_px_visible"] == 0
    assert found["error_px panel_front_left"] == pytest.approx(11)
    assert found["error_px_visible panel_front_left"] == -1


def test_missing_poses_and_models_are_reported(folder, tmp_path):
    content = json.loads((folder / "annotations.json").read_text())
    del content["annotations"][1]["pose"]
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    (tmp_path / "images").symlink_to(folder / "images")
    with pytest.raises(DataError, match="1 of 5 annotations have no pose"):
        evaluate(tmp_path, model=str(folder / "model.json"))
    with pytest.raises(DataError, match="3D model not found"):
        evaluate(folder, model="none.json")
    for quaternion, translation in (([1, 0, 0], [0, 0, 3]), ([0] * 4, [0, 0, 3]), ([1, 0, 0, 0], [0] * 3)):
        content["annotations"][1]["pose"] = {"quaternion": quaternion, "translation": translation}
        (tmp_path / "annotations.json").write_text(json.dumps(content))
        with pytest.raises(DataError, match=r"annotation 2: pose is .*expected a quaternion"):
            evaluate(tmp_path)
