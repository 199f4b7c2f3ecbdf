"""What labelling tools write beside keypoints and upright boxes: used as it is meant, or counted."""

import json

import cv2
import numpy as np
import pytest

from ppose.cli import run_command
from ppose.errors import PposeError
from ppose.formats import FORMATS, read_labels

SKELETON = (
    '<skeleton label="person" group_id="1"><points label="tip" outside="0" occluded="0" points="10,20"/>'
    '<points label="tail" outside="0" occluded="1" points="30,40"/></skeleton>'
)
POINTS = (
    '<points label="tip" occluded="0" points="10,20" group_id="1"/>'
    '<points label="tail" occluded="1" points="30,40" group_id="1"/>'
)


def cvat(body):
    return f'<annotations><image id="0" name="a.jpg" width="100" height="80">{body}</image></annotations>'


def box(label, corners, **more):
    sides = dict(zip(("xtl", "ytl", "xbr", "ybr"), corners, strict=True)) | more
    attributes = " ".join(f"{key}='{value}'" for key, value in sides.items())
    return f"<box label='{label}' {attributes}/>"


@pytest.mark.parametrize("drawn", [SKELETON, POINTS])
def test_cvats_skeletons_and_single_points_are_people(write_text, drawn):
    """Tasks of before skeletons have points of one label each, and boxes in their group."""
    helmet = box("helmet", (0, 0, 9, 9), group_id=1) if drawn is SKELETON else ""
    text = cvat(helmet + box("person", (5, 6, 50, 60), group_id=1) + drawn)
    people = read_labels(write_text("a.xml", text)).people
    np.testing.assert_array_equal(people.keypoints[0], [[10, 20], [30, 40]])
    np.testing.assert_array_equal(people.visibility[0], [2, 1])
    np.testing.assert_array_equal(people.bboxes_xywh[0], [5, 6, 45, 54])


def test_cvats_other_shapes_are_counted(write_text):
    others = '<polygon label="p" points="1,2;3,4"/><mask label="m"/><points label="p" points="1,2;3,4"/>'
    notes = read_labels(write_text("a.xml", cvat(SKELETON + others * 2))).annotations.notes
    for note in (
        "2 <polygon> skipped",
        "2 <mask> skipped",
        "2 <points> of several points each skipped",
    ):
        assert any(note in text for text in notes)
    with pytest.raises(PposeError, match=r"a\.xml: nobody in it has keypoints \(cvat, 1 <polygon> skipped"):
        read_labels(write_text("a.xml", cvat(others)))


def test_turned_boxes_are_those_around_them(write_text):
    """40 x 20 turned by a right angle: about the middle in CVAT, about the first corner in Label Studio."""
    text = cvat(box("person", (20, 20, 60, 40), group_id=1, rotation=90) + SKELETON)
    np.testing.assert_allclose(read_labels(write_text("a.xml", text)).people.bboxes_xywh, [[30, 10, 20, 40]])
    tasks = studio([studio_box(rotation=90), studio_point(parentID="b")])
    people = read_labels(write_text("a.json", tasks)).people
    np.testing.assert_allclose(people.bboxes_xywh, [[0, 10, 20, 40]], atol=1e-9)


def test_frames_of_several_tasks_are_several_images(write_text):
    """Of a project each task counts its frames from 0."""
    skeleton = '<skeleton frame="0" outside="0"><points label="tip" points="1,2"/></skeleton>'
    tracks = "".join(f'<track id="0" label="p" task_id="{n}">{skeleton}<box/></track>' for n in (3, 4))
    labels = read_labels(write_text("a.xml", f"<annotations>{tracks}</annotations>"))
    assert labels.annotations.images.file_names == ["task_3/frame_000000.PNG", "task_4/frame_000000.PNG"]
    assert "2 <box> of tracks skipped" in labels.annotations.notes


def studio(results, data=None, count=1):
    return [{"id": 7, "data": data or {"image": "a.jpg"}, "annotations": [{"result": results}] * count}]


def studio_box(**more):
    value = {"x": 10, "y": 10, "width": 20, "height": 20, "rectanglelabels": ["person"], **more}
    return {
        "id": "b",
        "type": "rectanglelabels",
        "original_width": 200,
        "original_height": 100,
        "value": value,
    }


def studio_point(**more):
    value = {"x": 5, "y": 20, "width": 1, "keypointlabels": ["tip"]}
    return {
        "id": "p",
        "type": "keypointlabels",
        "original_width": 200,
        "original_height": 100,
        "value": value,
        **more,
    }


def test_label_studios_image_is_what_is_called_like_one(write_text):
    data = {"caption": "two [people", "image": "s3://bucket/a/b.jpg"}
    tasks = studio([studio_point(), {"type": "polygonlabels"}], data, count=2)
    annotations = read_labels(write_text("a.json", tasks)).annotations
    assert annotations.images.file_names == ["b.jpg"]
    assert "1 results of type polygonlabels skipped" in annotations.notes
    assert "1 tasks with several annotations, the last one used" in annotations.notes


def test_deeplabcuts_animals_keep_apart(write_text):
    """f1 and m1 are two; predictions have a likelihood, and are no labels."""
    head = "scorer,a,a,a,a\nindividuals,f1,f1,m1,m1\nbodyparts,tip,tip,tip,tip\ncoords,x,y,x,y\n"
    assert read_labels(write_text("a.csv", head + "a.png,1,2,3,4\n")).people.tracks.tolist() == [0, 1]
    for coords, words in (("x,y,likelihood", "predictions of a video"), ("x,y,x", "one x and one y")):
        text = f"scorer,a,a,a\nbodyparts,t,t,t\ncoords,{coords}\na.png,1,2,3\n"
        with pytest.raises(PposeError, match=rf"a\.csv: .*{words}"):
            read_labels(write_text("a.csv", text))


def test_roboflows_data_yaml(tmp_path, write_text):
    """Its train is ../train/images, of the folder beside it; values that are pixels are refused."""
    (tmp_path / "train/images").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "train/images/a.jpg"), np.zeros((80, 100, 3), np.uint8))
    file = write_text("data.yaml", "train: ../train/images\nkpt_shape: [1, 3]\nnames: [p]\n")
    write_text("train/labels/a.txt", "0 .5 .5 .4 .4 .3 .4 2\n")
    np.testing.assert_allclose(read_labels(file).people.bboxes_xywh, [[30, 24, 40, 32]])
    write_text("train/labels/a.txt", "0 50 40 40 32 30 32 2\n")
    with pytest.raises(PposeError, match=r"a\.txt:1: the box is 50, 40, 40, 32, .*are these pixels"):
        read_labels(file)


def test_aics_people_without_keypoints_and_openposes_hands(write_text):
    humans = {"human1": [0, 0, 9, 9], "human2": [5, 5, 9, 9]}
    content = [
        {"image_id": "a", "keypoint_annotations": {"human1": [1, 2, 1] * 14}, "human_annotations": humans}
    ]
    people = read_labels(write_text("aic.json", content)).people
    np.testing.assert_array_equal(people.bboxes_xywh, [[0, 0, 9, 9], [5, 5, 4, 4]])
    write_text("a.jpg", "")
    person = {"pose_keypoints_2d": [1, 2, 1] * 25, "face_keypoints_2d": [1] * 210}
    notes = read_labels(write_text("a_keypoints.json", {"people": [person]})).annotations.notes
    assert "1 people's face_keypoints_2d skipped" in notes


def test_labelmes_files_of_one_image_and_other_shapes_are_reported(write_text, tmp_path):
    """A file that was copied keeps the name of the first one's image."""
    point = {"label": "tip", "points": [[1, 2]], "shape_type": "point"}
    polygon = {"label": "p", "points": [[1, 1], [2, 2], [3, 1]], "shape_type": "polygon"}
    for name in "ab":
        write_text(f"lm/{name}.json", {"shapes": [point, polygon], "imagePath": "a.jpg"})
    notes = read_labels(tmp_path / "lm").annotations.notes
    assert "1 images have the name of another, such as a.jpg (1 and 2)" in notes
    assert "2 polygon shapes skipped" in notes


@pytest.mark.parametrize("kind", ["labelme", "yolo", "openpose"])
def test_files_stay_in_their_folder_and_are_of_one_image_each(labels_of, tmp_path, kind):
    labels = labels_of()
    labels.annotations.images.file_names[0] = f"{tmp_path}/../over/there.jpg"
    FORMATS[kind].write(tmp_path / "a" / "b", labels)
    written = [file.relative_to(tmp_path).as_posix() for file in tmp_path.rglob("there*")]
    assert len(written) == 1
    assert written[0].startswith("a/b/")
    labels.annotations.images.file_names[:2] = ["v/c.jpg", "v/c.png"]
    with pytest.raises(PposeError, match=r"v/c\.jpg and v/c\.png would both have their labels in v/c"):
        FORMATS[kind].write(tmp_path / "a" / "b", labels)
    labels.annotations.images.file_names[1] = "v/" + "c" * 251 + ".jpg"
    if kind != "yolo":  # whose .txt is as long as .jpg
        with pytest.raises(PposeError, match="the file name is too long: v/ccc"):
            FORMATS[kind].write(tmp_path / "c", labels)
        assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(("kind", "name"), [("cvat", "a.xml"), ("deeplabcut", "a.csv")])
def test_names_that_a_format_cannot_have_are_one_line(labels_of, tmp_path, kind, name):
    labels = labels_of()
    labels.annotations.images.file_names[0] = "\udcd6.jpg"
    with pytest.raises(PposeError, match=r"has no letters for the name \\xd6\.jpg"):
        FORMATS[kind].write(tmp_path / name, labels)
    assert not list(tmp_path.iterdir())


def test_a_coco_file_is_parsed_once(labels_of, tmp_path, monkeypatch):
    FORMATS["coco"].write(tmp_path / "a.json", labels_of())
    read, calls = json.loads, []
    monkeypatch.setattr("json.loads", lambda *given: calls.append(1) or read(*given))
    run_command("convert", [str(tmp_path / "a.json"), str(tmp_path / "b.json")])
    assert len(calls) == 1
