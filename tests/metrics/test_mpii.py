"""PCKh against the official code's figures for a published file of predictions."""

import dataclasses
import json

import numpy as np
import pytest
from scipy.io import loadmat

from ppose.errors import ConfigError, DataError
from ppose.keypoints import get_keypoint_set
from ppose.metrics import KeyPointTopDownMPIIEval, format_table
from ppose.metrics.in_order import Found
from ppose.mpii_format import MpiiPeople, read_people

MPII16 = get_keypoint_set("mpii16")


def make_people(count, keypoints=None, head_boxes=None):
    return MpiiPeople(
        where="mpii_val.json",
        image_files=[f"{number // 2:09d}.jpg" for number in range(count)],
        image_ids=np.arange(count) // 2,
        centers=np.zeros((count, 2)),
        scales=np.ones(count),
        keypoints=np.zeros((count, 16, 2)) if keypoints is None else keypoints,
        visible=np.ones((count, 16), bool),
        head_boxes=head_boxes,
    )


def feed(metric, keypoints, image_ids):
    count = len(keypoints)
    scores = np.full((count, 16), 0.5)
    metric.update(keypoints, scores, image_ids, np.ones(count), np.ones(count))


def test_the_published_predictions(reference):
    folder = reference / "reference" / "evaluators" / "mpii"
    file = folder / "detections_our_format.mat"
    expected = json.loads((folder / "pckh.json").read_bytes())["groups"]
    found = np.moveaxis(loadmat(file)["pos_pred_src"], 2, 0) - 1.0
    people = make_people(len(found), np.moveaxis(loadmat(file)["pos_gt_src"], 2, 0))
    metric = KeyPointTopDownMPIIEval(people, MPII16, truth_file=str(file))
    feed(metric, found[:1000], people.image_ids[:1000])
    feed(metric, found[1000:], people.image_ids[1000:])
    own = metric.compute()
    for name in ("Head", "Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle"):
        assert own[name] == pytest.approx(expected[name], abs=1e-9)
    assert own["PCKh@0.5"] == pytest.approx(expected["Mean"], abs=1e-9)
    assert own["PCKh@0.1"] == pytest.approx(expected["Mean at threshold 0.10"], abs=1e-9)
    printed = own["PCKh@0.1 as the official code prints it"]
    assert printed == pytest.approx(expected["Mean@0.1 as printed (threshold 0.11)"], abs=1e-9)
    assert [round(own[name], 3) for name in ("PCKh@0.5", "PCKh@0.1")] == [82.337, 28.975]
    assert round(printed, 3) == 33.138
    table = format_table(own, "own boxes")
    assert "PCKh@0.1 as the official code prints it" in table
    assert "82.3367" in table
    assert max(map(len, table.splitlines())) <= 110


def test_truth_as_prediction_is_all_right_and_the_release_has_its_own_heads(reference):
    people = read_people(reference / "reference" / "converters" / "mpii_small.mat")
    metric = KeyPointTopDownMPIIEval(people, MPII16)
    feed(metric, people.keypoints - 1, people.image_ids)
    assert set(metric.compute().values()) == {100.0}
    metric.reset()
    feed(metric, people.keypoints, people.image_ids)  # a pixel is more than these heads
    assert metric.compute()["PCKh@0.5"] == 0


def test_what_nobody_has_labelled_has_no_value():
    people = make_people(2, head_boxes=np.array([[[0, 0], [10, 0]]] * 2))
    people = dataclasses.replace(people, visible=np.arange(16) == np.full((2, 1), 9))
    metric = KeyPointTopDownMPIIEval(people, MPII16)
    feed(metric, people.keypoints - 1, people.image_ids)
    found = metric.compute()
    assert (found["Head"], found["Wrist"], found["PCKh@0.5"]) == (100.0, -1.0, 100.0)


def test_people_of_an_image_come_in_the_annotations_order():
    found = Found(MPII16)
    for image in (3, 1, 3, 2):
        found.add(np.zeros((1, 16, 2)), np.zeros((1, 16)), np.array([image]))
    assert found.rows_in(np.array([1, 3, 2, 3, 1]), "the file").tolist() == [1, 0, 3, 2]
    found.add(np.zeros((1, 16, 2)), np.zeros((1, 16)), np.array([3]))
    with pytest.raises(DataError, match="image 3 has more people than in the file"):
        found.rows_in(np.array([1, 3, 2, 3, 1]), "the file")
    with pytest.raises(ConfigError, match="expected"):
        found.add(np.zeros((1, 17, 2)), np.zeros((1, 17)), np.array([3]))


def test_results_name_the_images(tmp_path):
    metric = KeyPointTopDownMPIIEval(make_people(2, head_boxes=np.zeros((2, 2, 2))), MPII16)
    feed(metric, np.full((2, 16, 2), 5.0), np.array([0, 0]))
    metric.write_results(tmp_path / "r.json")
    first = json.loads((tmp_path / "r.json").read_text())[0]
    assert (first["image"], first["image_id"], first["score"]) == ("000000000.jpg", 0, 0.5)
    assert first["keypoints"][:3] == [5.0, 5.0, 0.5]


def test_missing_head_boxes_are_reported(tmp_path):
    with pytest.raises(DataError, match=r"mpii_val\.json has no head boxes, which PCKh needs"):
        KeyPointTopDownMPIIEval(make_people(2), MPII16)
    with pytest.raises(DataError, match="not found"):
        KeyPointTopDownMPIIEval(make_people(2), MPII16, truth_file=str(tmp_path / "none.mat"))
    with pytest.raises(DataError, match="no annotations"):
        KeyPointTopDownMPIIEval(None, MPII16).compute()


def test_other_people_in_the_truth_file_are_said(reference):
    file = str(reference / "reference" / "evaluators" / "mpii" / "detections_our_format.mat")
    keypoints = np.moveaxis(loadmat(file)["pos_gt_src"], 2, 0)
    corrected = keypoints.copy()
    corrected[:200] += 500
    KeyPointTopDownMPIIEval(make_people(len(keypoints), corrected), MPII16, truth_file=file)
    with pytest.raises(DataError, match=r"of 2958 people are not those of mpii_val\.json, such as number 0"):
        KeyPointTopDownMPIIEval(make_people(len(keypoints), keypoints[::-1]), MPII16, truth_file=file)
