"""Labels written in each format and read again: what it can hold is as before, what it cannot is said."""

import importlib.util
import json

import numpy as np
import pytest

from ppose.formats import FORMATS, find_format, find_losses, read_labels
from ppose.formats.label_studio import write_label_studio
from ppose.keypoints import get_keypoint_set

# What is written, the built-in set that a format has, or none where it has any.
PATHS = {
    "coco": ("a.json", None), "crowdpose": ("a.json", "crowdpose14"), "posetrack": ("a", "posetrack18"),
    "yolo": (".", None), "labelme": ("a", None), "cvat": ("a.xml", None), "labelstudio": ("a.json", None),
    "deeplabcut": ("a.csv", None), "sleap": ("a.slp", None), "mpii": ("a.json", "mpii16"),
    "aic": ("a.json", "aic14"), "openpose": ("a", "coco17"),
}  # fmt: skip


def sort_people(labels):
    """Rows by image and place, which is the same before and after."""
    people = labels.people
    names = [labels.annotations.images.file_names[row] for row in people.images]
    return sorted(
        range(len(people)), key=lambda row: (names[row].rpartition("/")[2], people.keypoints[row, 0, 0])
    )


@pytest.mark.parametrize("name", FORMATS)
def test_what_a_format_holds_comes_back(name, labels_of, image_dir, tmp_path):
    if name == "sleap" and importlib.util.find_spec("h5py") is None:
        pytest.skip("h5py is not installed")
    path, own = tmp_path / PATHS[name][0], PATHS[name][1]
    before = labels_of(own)
    FORMATS[name].write(path, before)
    known = get_keypoint_set(own) if name == "openpose" else None
    holds = FORMATS[name].holds
    where = image_dir if name in ("yolo", "openpose") else None
    after = read_labels(path, name, known, image_dir=where)
    assert after.keypoint_set.names == before.keypoint_set.names
    assert after.keypoint_set.flip_pairs == before.keypoint_set.flip_pairs
    a, b = (side.people.take(np.array(sort_people(side))) for side in (before, after))
    seen = a.visibility > 0
    np.testing.assert_array_equal(b.visibility > 0, seen)
    np.testing.assert_allclose(b.keypoints[seen], a.keypoints[seen], atol=1e-9)
    if "hidden" in holds and name != "posetrack":
        np.testing.assert_array_equal(b.visibility, a.visibility)
    if "boxes" in holds:
        np.testing.assert_allclose(b.bboxes_xywh, a.bboxes_xywh, atol=1e-9)
    for key, column in (("areas", "areas"), ("tracks", "tracks")):
        if key in holds:
            np.testing.assert_allclose(getattr(b, column), getattr(a, column))
    if "categories" in holds:
        kinds = [[side.category(row) for row in sort_people(side)] for side in (before, after)]
        assert kinds[0] == kinds[1]
    if "empty" in holds:
        assert len(after.annotations.images) == len(before.annotations.images)
    if name not in ("aic", "mpii", "deeplabcut"):
        assert after.annotations.images.sizes[after.people.images].all()
    names = {n.rpartition("/")[2] for n in after.annotations.images.file_names}
    assert names <= {f"00000{n}.jpg" for n in range(1, 5)}


def test_what_cannot_be_held_is_reported_with_its_number(labels_of):
    labels = labels_of()
    assert find_losses(labels, FORMATS["coco"].holds) == []
    lost = find_losses(labels, FORMATS["deeplabcut"].holds)
    assert lost[0] == "the boxes of 4 people (on reading, computed from the keypoints)"
    assert any("keypoints of 4 people are hidden" in words for words in lost)
    assert any("the 2 categories" in words for words in lost)
    assert not any("track ids" in words for words in lost)
    assert any("track ids" in words for words in find_losses(labels, FORMATS["labelme"].holds))


def test_ultralytics_gets_nothing_beyond_the_image(labels_of, image_dir, tmp_path):
    """Its loader refuses a file with a number outside of 0 to 1."""
    labels = labels_of()
    labels.people.bboxes_xywh[0] = -10, 30, 60, 300
    labels.people.keypoints[0, 0] = -5, 40
    assert "the parts outside of the image, of 1 people" in find_losses(labels, FORMATS["yolo"].holds)
    assert find_losses(labels, FORMATS["coco"].holds) == []
    FORMATS["yolo"].write(tmp_path, labels)
    for file in (tmp_path / "labels").rglob("*.txt"):
        for line in file.read_text().splitlines():
            values = np.array(line.split()[1:], float)
            assert (values[:4] >= 0).all()
            assert (np.delete(values, np.arange(6, len(values), 3)) <= 1).all()
    first = read_labels(tmp_path, image_dir=image_dir).people.take(np.array([0]))
    np.testing.assert_allclose(first.bboxes_xywh, [[0, 30, 50, 210]])
    assert first.visibility[0, 0] == 0


def test_predictions_are_read_as_labels(labels_of, tmp_path):
    before = labels_of()
    write_label_studio(tmp_path / "a.json", before, predicted=True)
    after = read_labels(tmp_path / "a.json")
    np.testing.assert_array_equal(after.people.visibility, before.people.visibility)
    assert '<Label value="left_tail"' in (tmp_path / "a.xml").read_text()


def test_openpose_and_back(labels_of, image_dir, tmp_path):
    """BODY_25 has a neck between the shoulders, and COCO's keypoints are read of it by name."""
    before = labels_of("coco17")
    FORMATS["openpose"].write(tmp_path / "op", before)
    assert find_format(tmp_path / "op") == "openpose"
    known = get_keypoint_set("coco17")
    after = read_labels(tmp_path / "op", None, known, image_dir=image_dir)
    mine = before.people
    np.testing.assert_array_equal(after.people.visibility > 0, mine.visibility > 0)
    np.testing.assert_allclose(
        after.people.keypoints[mine.visibility > 0], mine.keypoints[mine.visibility > 0]
    )
    np.testing.assert_array_equal(after.people.tracks, mine.tracks)
    whole = read_labels(tmp_path / "op", image_dir=image_dir)
    assert whole.keypoint_set.num_keypoints == 25
    seen = mine.visibility[:, 5:7].min(axis=1) > 0
    neck = whole.people.keypoints[:, whole.keypoint_set.names.index("neck")]
    np.testing.assert_allclose(neck[seen], mine.keypoints[seen, 5:7].mean(axis=1))


@pytest.mark.parametrize("name", ["yolo", "labelme", "cvat", "labelstudio", "aic", "mpii", "posetrack"])
def test_formats_are_known_by_their_looks(name, labels_of, image_dir, tmp_path):
    path = tmp_path / PATHS[name][0]
    FORMATS[name].write(path, labels_of(PATHS[name][1]))
    assert find_format(path) == {"posetrack": "coco"}.get(name, name)


def test_a_round_trip_of_real_people(reference, tmp_path):
    """COCO's 126 images by way of the tools that hold boxes: the same people."""
    source = reference / "data" / "coco_dev" / "annotations" / "person_keypoints.json"
    before = read_labels(source)
    for name, path in (("labelme", "lm"), ("cvat", "a.xml"), ("labelstudio", "ls.json")):
        FORMATS[name].write(tmp_path / path, before)
        after = read_labels(tmp_path / path, name, before.keypoint_set)
        assert len(after.people) == len(before.people)
        assert after.people.visibility.sum() == before.people.visibility.sum()
        np.testing.assert_allclose(
            np.sort(after.people.bboxes_xywh.sum(axis=1)), np.sort(before.people.bboxes_xywh.sum(axis=1))
        )


def test_posetracks_own_files(reference, tmp_path):
    """A file a video, with tracks; written again under the videos' names."""
    before = read_labels(reference / "data" / "posetrack18" / "annotations" / "val")
    assert before.keypoint_set.name == "posetrack18"
    FORMATS["posetrack"].write(tmp_path, before)
    assert [file.name for file in sorted(tmp_path.iterdir())] == [
        f"{video}_mpii_test.json" for video in ("003418", "009473", "012834")
    ]
    after = read_labels(tmp_path)
    for name in ("keypoints", "visibility", "tracks", "bboxes_xywh"):
        np.testing.assert_array_equal(getattr(after.people, name), getattr(before.people, name))


def test_mpiis_own_file_comes_back_as_it_is(reference, tmp_path):
    file = reference / "data" / "mpii" / "test_mpii.json"
    FORMATS["mpii"].write(tmp_path / "a.json", read_labels(file))
    pairs = zip(json.loads(file.read_text()), json.loads((tmp_path / "a.json").read_text()), strict=True)
    for one, other in pairs:
        assert one["image"] == other["image"]
        known = np.array(one["joints_vis"]) > 0
        np.testing.assert_allclose(np.array(other["joints"])[known], np.array(one["joints"])[known])
        np.testing.assert_allclose([*other["center"], other["scale"]], [*one["center"], one["scale"]])
