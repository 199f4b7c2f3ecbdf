"""MPII's people: boxes as the official code makes them, of JSON and of the release's .mat."""

import json

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from ppose.data import KeypointTopDownMPIIDataset
from ppose.errors import DataError
from ppose.keypoints import get_keypoint_set
from ppose.mpii_format import read_people, read_truth

MPII16 = get_keypoint_set("mpii16")


@pytest.fixture
def entries(reference):
    return json.loads((reference / "data" / "mpii" / "test_mpii.json").read_bytes())


def make(folder, annotations="test_mpii.json", **changes):
    arguments = {"dataset_dir": str(folder), "image_dir": "", "anno_path": annotations, **changes}
    return KeypointTopDownMPIIDataset(keypoint_set=MPII16, **arguments)


def test_people_are_cut_out_as_by_the_official_code(reference):
    boxes = json.loads((reference / "reference/evaluators/mpii/boxes.json").read_bytes())["people"]
    dataset = make(reference / "data" / "mpii", num_joints=16, trainsize=[256, 256])
    assert len(dataset) == len(boxes) == 5
    for index, person in enumerate(boxes):
        sample = dataset[index]
        assert sample["image_file"].endswith(person["image"])
        np.testing.assert_allclose(sample["center"], person["center"], rtol=1e-12)
        np.testing.assert_allclose(sample["scale"], 200 * np.array(person["scale"]), rtol=1e-12)
        np.testing.assert_allclose(sample["keypoints"], person["joints"], rtol=1e-12)
        np.testing.assert_array_equal(sample["visible"], person["visible"])
        assert sample["image"].ndim == 3
        assert dataset.image_ids[index] == int(person["image"].removesuffix(".jpg"))
    np.testing.assert_allclose(make(reference / "data" / "mpii").areas, dataset.areas)
    wide = make(reference / "data" / "mpii", trainsize=[192, 256])
    np.testing.assert_allclose(wide[0]["scale"] / dataset[0]["scale"], [1, 4 / 3])


def test_paddledetections_names_are_the_same_file(tmp_path, entries):
    renamed = []
    for number, entry in enumerate(entries):
        changed = {**entry, "gt_joints": entry["joints"], "image_id": 7 * number}
        del changed["joints"]
        renamed.append(changed)
    (tmp_path / "a.json").write_text(json.dumps(entries))
    (tmp_path / "b.json").write_text(json.dumps(renamed))
    ours, theirs = read_people(tmp_path / "a.json"), read_people(tmp_path / "b.json")
    np.testing.assert_array_equal(ours.keypoints, theirs.keypoints)
    assert theirs.image_ids.tolist() == [0, 7, 14, 21, 28]


def test_the_release_itself(reference, entries):
    file = reference / "reference" / "converters" / "mpii_small.mat"
    people = read_people(file)
    # Two of the first image, one each of three more; the others have no keypoints or are for testing.
    assert people.image_files == ["005808361.jpg"] * 2 + [
        entries[1]["image"],
        "004645041.jpg",
        "060754485.jpg",
    ]
    assert people.image_ids.tolist() == [0, 0, 1, 4, 6]
    np.testing.assert_allclose(people.keypoints[0], entries[0]["joints"])
    np.testing.assert_allclose(people.centers[0], [965.0, 409.77732], rtol=1e-9)
    np.testing.assert_allclose(people.scales[0], 200 * 5.89811, rtol=1e-9)
    assert people.visible[0].all()
    assert people.visible.sum(axis=1).tolist() == [16, 5, 4, 1, 10]
    np.testing.assert_array_equal(people.head_boxes, [[[1, 1], [2, 2]]] * 5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda e: {"images": e}, "expected MPII's JSON, a list"),
        (lambda e: [], "no usable person"),
        (lambda e: [{k: v for k, v in e[0].items() if k != "center"}], "[0]: has no center"),
        (lambda e: [{k: v for k, v in e[0].items() if k != "joints"}], "[0]: has no joints"),
        (lambda e: [e[0], {**e[1], "joints": e[1]["joints"][:14]}], "[1] has 14 joints and 16 joints_vis"),
        (lambda e: [{**e[0], "scale": -1}], "a scale above 0"),
        (lambda e: [{**e[0], "scale": "large"}], "[0]: expected joints [x, y]"),
        (lambda e: [{**e[0], "scale": float("inf")}], "[0]: expected joints [x, y]"),
        (lambda e: [{**e[0], "center": [float("nan"), 1]}], "[0]: expected joints [x, y]"),
        (lambda e: [{**e[0], "joints": [[1]] * 16}], "[0]: expected joints [x, y]"),
        (lambda e: [{**e[0], "joints": [[1, float("nan")]] * 16}], "[0]: expected joints [x, y]"),
        (lambda e: [{**e[0], "image_id": "x"}], "[0]: the image_id 'x' is no whole number"),
    ],
)
def test_bad_annotations_are_named(tmp_path, entries, change, words):
    (tmp_path / "mpii.json").write_text(json.dumps(change(entries)))
    with pytest.raises(DataError) as error:
        make(tmp_path, "mpii.json")
    assert words in str(error.value)
    assert str(tmp_path / "mpii.json") in str(error.value)
    assert "\n" not in str(error.value)


def test_another_keypoint_count_and_a_missing_image(tmp_path, entries):
    (tmp_path / "mpii.json").write_text(json.dumps(entries))
    with pytest.raises(DataError, match="num_joints is 17"):
        make(tmp_path, "mpii.json", num_joints=17)
    with pytest.raises(DataError, match="image not found"):
        make(tmp_path, "mpii.json")[0]["image"]
    with pytest.raises(DataError, match="annotation file not found"):
        make(tmp_path, "none.json")


def test_a_truth_file_of_others(reference, tmp_path):
    file = reference / "reference/evaluators/mpii/detections_our_format.mat"
    with pytest.raises(DataError, match="has 2958 people, the annotations have 5"):
        read_truth(file, 5)
    content = {name: value for name, value in loadmat(file).items() if not name.startswith("_")}
    del content["headboxes_src"]
    savemat(tmp_path / "truth.mat", content)
    with pytest.raises(DataError, match="has no headboxes_src with 2 x 2 numbers"):
        read_truth(tmp_path / "truth.mat", 2958)


def test_a_truth_file_of_a_single_person_or_with_texts(tmp_path):
    truth = {"pos_gt_src": np.ones((16, 2)), "jnt_missing": np.eye(16)[0], "headboxes_src": np.eye(2)}
    savemat(tmp_path / "truth.mat", truth)
    keypoints, visible, heads = read_truth(tmp_path / "truth.mat", 1)
    assert (keypoints.shape, visible.sum(), heads.shape) == ((1, 16, 2), 15, (1, 2, 2))
    savemat(tmp_path / "truth.mat", {**truth, "jnt_missing": "none"})
    with pytest.raises(DataError, match="has no jnt_missing with 16 numbers per person"):
        read_truth(tmp_path / "truth.mat", 1)
