"""A file by hand for each tool and dataset, by its public documentation: all hold the same people.

What each writes otherwise than COCO stands in docs/annotations.md.
"""

import json

import cv2
import numpy as np
import pytest

from ppose.data import KeypointTopDownCocoDataset
from ppose.keypoints import get_keypoint_set

COCO17, HALPE26 = get_keypoint_set("coco17"), get_keypoint_set("halpe26")
CROWDPOSE14, POSETRACK18 = get_keypoint_set("crowdpose14"), get_keypoint_set("posetrack18")
WIDTH, HEIGHT = 160, 120
BOXES = [[20.0, 10.0, 50.0, 90.0], [80.0, 12.0, 60.0, 100.0]]


def points_of(person, keypoint_set):
    """(K, 3): on a grid in the person's box, every fourth hidden, every fifth not labelled."""
    count = keypoint_set.num_keypoints
    x, y, width, height = BOXES[person]
    steps = np.arange(count)
    points = np.column_stack([x + steps % 5 * width // 5, y + steps // 5 * height // 6, np.full(count, 2.0)])
    points[::4, 2] = 1
    points[4::5] = 0
    return points


def flat(person, keypoint_set=COCO17):
    return points_of(person, keypoint_set).ravel().tolist()


def cvat():
    """CVAT's "COCO Keypoints 1.0": attributes of a track; a skeleton that has left the frame is empty."""
    people = [
        {"id": n + 1, "image_id": 1, "category_id": 1, "segmentation": [], "bbox": box,
         "area": box[2] * box[3], "iscrowd": 0,
         "attributes": {"occluded": False, "track_id": n, "keyframe": True},
         "keypoints": flat(n), "num_keypoints": int((points_of(n, COCO17)[:, 2] > 0).sum())}
        for n, box in enumerate(BOXES)
    ]  # fmt: skip
    gone = {**people[0], "id": 3, "keypoints": [], "num_keypoints": 0, "area": 0, "bbox": [0, 0, 0, 0]}
    return {
        "licenses": [{"name": "", "id": 0, "url": ""}],
        "info": {"contributor": "", "date_created": "", "description": "", "url": ""},
        "categories": [
            {"id": 1, "name": "person", "supercategory": "", "keypoints": list(COCO17.names), "skeleton": []},
            {"id": 2, "name": "ball", "supercategory": "", "keypoints": [], "skeleton": []},
        ],
        "images": [{"id": 1, "width": WIDTH, "height": HEIGHT, "file_name": "a.png", "license": 0,
                    "flickr_url": "", "coco_url": "", "date_captured": 0}],
        "annotations": [*people, gone],
    }  # fmt: skip


def label_studio():
    """Label Studio: everything counts from 0, `ignore`, the size as the picture is shown."""
    return {
        "images": [{"width": WIDTH, "height": HEIGHT, "id": 0, "file_name": "a.png"}],
        "categories": [{"id": 0, "name": "person", "keypoints": list(COCO17.names)}],
        "annotations": [
            {"id": n, "image_id": 0, "category_id": 0, "segmentation": [], "bbox": box, "ignore": 0,
             "iscrowd": 0, "area": box[2] * box[3], "keypoints": flat(n), "num_keypoints": 13}
            for n, box in enumerate(BOXES)
        ],
        "info": {"year": 2026, "version": "1.0", "contributor": "Label Studio"},
    }  # fmt: skip


def coco_annotator():
    """COCO Annotator: booleans, a path of its own server, shapes without keypoints, people without area."""
    people = [
        {"id": 10 + n, "image_id": 7, "category_id": 4, "dataset_id": 1, "segmentation": [], "area": 0,
         "bbox": box, "iscrowd": False, "isbbox": False, "creator": "a", "width": WIDTH, "height": HEIGHT,
         "color": "#1ee2cb", "metadata": {}, "keypoints": flat(n), "num_keypoints": 13}
        for n, box in enumerate(BOXES)
    ]  # fmt: skip
    shape = {key: value for key, value in people[0].items() if "keypoints" not in key}
    names = [name.replace("_", " ") for name in COCO17.names]
    return {
        "images": [{"id": 7, "dataset_id": 1, "category_ids": [4], "path": "/datasets/a/a.png",
                    "width": WIDTH, "height": HEIGHT, "file_name": "a.png",
                    "annotated": True, "num_annotations": 3}],
        "categories": [{"id": 4, "name": "human", "supercategory": "", "color": "#fff", "metadata": {},
                        "keypoint_colors": [], "keypoints": names, "skeleton": []}],
        "annotations": [*people, {**shape, "id": 13, "segmentation": [[1, 1, 9, 1, 9, 9]]}],
    }  # fmt: skip


def roboflow():
    """Roboflow: an unused category 0, points named by number, no count."""
    names = [f"new-point-{n}" for n in range(17)]
    return {
        "info": {"description": "Exported from roboflow.com"},
        "categories": [
            {"id": 0, "name": "people", "supercategory": "none"},
            {"id": 1, "name": "figure", "supercategory": "people", "keypoints": names, "skeleton": []},
        ],
        "images": [{"id": 0, "license": 1, "file_name": "a.png", "height": HEIGHT, "width": WIDTH,
                    "date_captured": "2026-01-01", "extra": {"name": "photo.png"}}],
        "annotations": [
            {"id": n, "image_id": 0, "category_id": 1, "bbox": box, "area": box[2] * box[3],
             "segmentation": [], "iscrowd": 0, "keypoints": flat(n)}
            for n, box in enumerate(BOXES)
        ],
    }  # fmt: skip


def labelme():
    """Converters of labelme: texts for ids and numbers, no area, no count, sometimes no box."""
    return {
        "images": [{"id": "000001", "file_name": "a.png", "height": str(HEIGHT), "width": str(WIDTH)}],
        "categories": [{"id": "1", "name": "person", "keypoints": list(COCO17.names), "skeleton": []}],
        "annotations": [
            {"id": str(n), "image_id": "1", "category_id": "1", "iscrowd": "0", "bbox": list(map(str, box)),
             "keypoints": [[x, y, int(v)] if v else [0, 0, 0] for x, y, v in points_of(n, COCO17).tolist()]}
            for n, box in enumerate(BOXES)
        ],
    }  # fmt: skip


def ap10k():
    """AP-10K: species are categories with one list of keypoints; 54 of them here two."""
    return {
        "images": [{"license": 1, "id": 3, "file_name": "a.png", "width": WIDTH, "height": HEIGHT,
                    "background": 2}],
        "categories": [
            {"id": n, "name": name, "supercategory": "Bovidae", "keypoints": list(COCO17.names)}
            for n, name in ((1, "antelope"), (2, "argali sheep"))
        ],
        "annotations": [
            {"id": n + 1, "image_id": 3, "category_id": n + 1, "bbox": box, "area": box[2] * box[3],
             "iscrowd": 0, "num_keypoints": 13, "keypoints": flat(n)}
            for n, box in enumerate(BOXES)
        ],
    }  # fmt: skip


def posetrack18():
    """PoseTrack18: frames' long ids, no sizes, people without a box, visibility 1, booleans, ears empty."""
    people = []
    for n, box in enumerate(BOXES):
        points = points_of(n, POSETRACK18)
        points[:, 2] = points[:, 2] > 0
        people.append(
            {"bbox_head": [1, 2, 3, 4], "keypoints": points.ravel().tolist(), "track_id": n, "scores": [],
             "image_id": 10034180000, "bbox": box, "category_id": 1, "id": 1003418000000 + n,
             "iscrowd": False}
        )  # fmt: skip
    return {
        "images": [{"has_no_densepose": True, "is_labeled": True, "file_name": "a.png", "nframes": 149,
                    "frame_id": 10034180000, "vid_id": "003418", "id": 10034180000}],
        "annotations": people,
        "categories": [{"supercategory": "person", "id": 1, "name": "person",
                        "keypoints": list(POSETRACK18.names), "skeleton": []}],
    }  # fmt: skip


def halpe():
    """Halpe-FullBody: 136 keypoints without names, the body's 26 first; hands and face behind them."""
    return {
        "images": [{"id": 36, "file_name": "a.png", "height": HEIGHT, "width": WIDTH}],
        "categories": [{"supercategory": "person", "id": 1, "name": "person"}],
        "annotations": [
            {"id": n, "image_id": 36, "category_id": 1, "bbox": box, "area": 99.0, "isfake": 0,
             "keypoints": flat(n, HALPE26) + [5.5, 6.5, 0.9] * 110}
            for n, box in enumerate(BOXES)
        ],
    }  # fmt: skip


def halpe_with_names():
    """The first 26 by the words of Halpe's README, "Rknee" among them, in another order."""
    names = "Nose LEye REye LEar REar LShoulder RShoulder LElbow RElbow LWrist RWrist LHip RHip LKnee Rknee "
    names += "LAnkle RAnkle Head Neck Hip LBigToe RBigToe LSmallToe RSmallToe LHeel RHeel"
    content = halpe()
    content["categories"][0]["keypoints"] = names.split()[::-1]
    for n, person in enumerate(content["annotations"]):
        person["keypoints"] = points_of(n, HALPE26)[::-1].ravel().tolist()
    return content


def crowdpose():
    """CrowdPose: no area, its own word for the head, a crowd index; the count is that of v = 2."""
    names = [*CROWDPOSE14.names[:12], "head", "neck"]
    return {
        "images": [{"file_name": "a.png", "id": 100000, "height": HEIGHT, "width": WIDTH, "crowdIndex": 0.6}],
        "categories": [{"supercategory": "person", "id": 1, "name": "person", "keypoints": names}],
        "annotations": [
            {"num_keypoints": int((points_of(n, CROWDPOSE14)[:, 2] == 2).sum()), "iscrowd": 0,
             "keypoints": flat(n, CROWDPOSE14), "image_id": 100000, "bbox": box,
             "category_id": 1, "id": 1 + n}
            for n, box in enumerate(BOXES)
        ],
    }  # fmt: skip


DIALECTS = [
    (cvat, COCO17, {"no labelled keypoint": 1}), (label_studio, COCO17, {}),
    (coco_annotator, COCO17, {"no labelled keypoint": 1}), (roboflow, COCO17, {}), (labelme, COCO17, {}),
    (ap10k, COCO17, {}), (posetrack18, POSETRACK18, {}), (halpe, HALPE26, {}),
    (halpe_with_names, HALPE26, {}), (crowdpose, CROWDPOSE14, {}),
]  # fmt: skip


def open_dataset(folder, keypoint_set, anno_path="ann.json"):
    (folder / "images").mkdir()
    cv2.imwrite(str(folder / "images" / "a.png"), np.full((HEIGHT, WIDTH, 3), 90, np.uint8))
    return KeypointTopDownCocoDataset("images", anno_path, [192, 256], keypoint_set, str(folder))


def check_people(dataset, keypoint_set, *, hidden=True):
    assert len(dataset) == 2
    assert dataset.annotations.images.sizes.tolist() == [[WIDTH, HEIGHT]]
    people = dataset.annotations.people.take(dataset.annotations.people.used)
    expected = np.stack([points_of(n, keypoint_set) for n in range(2)])
    np.testing.assert_allclose(people.bboxes_xywh, BOXES)
    np.testing.assert_allclose(people.keypoints, expected[..., :2], atol=1e-9)
    flags = people.visibility if hidden else people.visibility > 0
    np.testing.assert_array_equal(flags, expected[..., 2] if hidden else expected[..., 2] > 0)
    assert not people.is_crowd.any()
    assert (people.areas > 0).all()
    assert dataset[1]["image"].shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize(("write", "keypoint_set", "left_out"), DIALECTS)
def test_a_dialect_is_read_to_the_same_table(tmp_path, write, keypoint_set, left_out):
    (tmp_path / "ann.json").write_text(json.dumps(write()))
    dataset = open_dataset(tmp_path, keypoint_set)
    check_people(dataset, keypoint_set, hidden=write is not posetrack18)
    assert dataset.annotations.left_out == left_out


def test_label_studios_names_from_windows_are_paths(tmp_path):
    content = label_studio()
    content["images"][0]["file_name"] = "images\\a.png"
    content["images"][0].pop("width")
    (tmp_path / "ann.json").write_text(json.dumps(content))
    open_dataset(tmp_path, COCO17)
    check_people(KeypointTopDownCocoDataset("", "ann.json", [192, 256], COCO17, str(tmp_path)), COCO17)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_ultralytics_labels_are_read_to_the_same_table(tmp_path, dimensions):
    (tmp_path / "labels").mkdir()
    lines = []
    for n, (x, y, width, height) in enumerate(BOXES):
        points = points_of(n, COCO17) / [WIDTH, HEIGHT, 1]
        box = np.array([x + width / 2, y + height / 2, width, height]) / ([WIDTH, HEIGHT] * 2)
        lines.append(" ".join(map(repr, [0, *box.tolist(), *points[:, :dimensions].ravel().tolist()])))
    (tmp_path / "labels" / "a.txt").write_text("\n".join(lines))
    check_people(open_dataset(tmp_path, COCO17, "labels"), COCO17, hidden=dimensions == 3)


def test_ultralytics_labels_of_no_image_are_reported(tmp_path, caplog):
    (tmp_path / "labels").mkdir()
    values = [0, 0.5, 0.5, 0.5, 0.5, *[0.5, 0.5, 2] * 17]
    for stem in ("a", "b"):
        (tmp_path / "labels" / f"{stem}.txt").write_text(" ".join(map(str, values)))
    (tmp_path / "labels" / "classes.txt").write_text("person")
    assert len(open_dataset(tmp_path, COCO17, "labels")) == 1
    assert "labels: 1 files belong to no image in" in caplog.text
    assert "such as b.txt" in caplog.text


def test_a_wrong_line_of_ultralytics_labels_is_named(tmp_path):
    from ppose.errors import DataError

    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.txt").write_text("0 0.5 0.5 0.2 0.2 0.1\n")
    with pytest.raises(DataError, match=r"labels/a\.txt:1: got 6 values, expected class, box"):
        open_dataset(tmp_path, COCO17, "labels")
