"""Broken files of every format: one clear line each, that names the file and the place."""

import importlib.util
import json

import cv2
import numpy as np
import pytest

from ppose.cli import run_command
from ppose.commands import convert
from ppose.errors import PposeError
from ppose.formats import FORMATS, read_labels

LABELME_POINT = {"label": "tip", "points": [[1, 2]], "shape_type": "point", "group_id": 1}
STUDIO_POINT = {
    "id": "a", "type": "keypointlabels", "original_width": 10, "original_height": 10,
    "value": {"x": 1, "y": 1, "width": 1, "keypointlabels": ["tip"]},
}  # fmt: skip
DLC = "scorer,me,me\nbodyparts,tip,tip\ncoords,x,y\n"
AIC = {"image_id": "a", "keypoint_annotations": {"human1": [1, 2, 1] * 14}, "human_annotations": {}}
MPII = {"image": "a.jpg", "center": [5, 5], "scale": 1.0, "joints": [[1, 2]] * 16, "joints_vis": [1] * 16}


def studio(result):
    return [{"id": 7, "data": {"image": "a.jpg"}, "annotations": [{"result": result}]}]


def cvat(points):
    body = f'<skeleton label="p"><points label="tip" outside="0" occluded="0" points="{points}"/></skeleton>'
    return f'<annotations><image id="0" name="a.jpg" width="9" height="9">{body}</image></annotations>'


NAMED = [{"id": 1, "keypoints": ["a"]}]

BROKEN = {
    "coco: no JSON": ("a.json", "coco", "{", "not a JSON file"),
    "coco: a list": ("a.json", "coco", [], "it has no list 'images'"),
    "coco: no keypoints": ("a.json", "coco", {"images": [], "annotations": []}, "no annotation has"),
    "coco: entries": (
        "a.json", "coco", {"images": [], "annotations": 3, "categories": NAMED}, "'annotations' is not a",
    ),
    "coco: flip_pairs": (
        "a.json",
        "coco",
        {"images": [], "categories": [{"id": 1, "keypoints": ["a", "b"], "flip_pairs": [[0, 9]]}]},
        "flip_pairs has 9, expected 0 to 1",
    ),
    "posetrack: a file of another": ("p/a.json", "posetrack", {"people": []}, "no list 'images'"),
    "yolo: no YAML": ("data.yaml", "yolo", "a: [", "not YAML"),
    "yolo: a list": ("data.yaml", "yolo", "[1]", "expected kpt_shape"),
    "yolo: no keypoints": ("data.yaml", "yolo", "train: images", "kpt_shape is None"),
    "yolo: flip_idx": ("data.yaml", "yolo", "kpt_shape: [2, 3]\nflip_idx: [1, 1]", "flip_idx is [1, 1]"),
    "yolo: no labels": ("data.yaml", "yolo", "kpt_shape: [2, 3]\ntrain: images", "no labels (.txt)"),
    "yolo: a list of images": (
        "data.yaml", "yolo", "kpt_shape: [2, 3]\ntrain: data.yaml", "data.yaml is a list of images",
    ),
    "labelme: another JSON": ("a.json", "labelme", {"images": []}, "it has no list 'shapes'"),
    "labelme: no label": ("a.json", "labelme", {"shapes": [{}]}, "shapes[0]: expected a label"),
    "labelme: no points": (
        "a.json", "labelme", {"shapes": [{**LABELME_POINT, "points": []}]}, "expected 1 points [x, y]",
    ),
    "labelme: texts": (
        "a.json", "labelme", {"shapes": [{**LABELME_POINT, "points": [["a", "b"]]}]}, "expected 1 points",
    ),
    "labelme: a group": (
        "a.json", "labelme", {"shapes": [{**LABELME_POINT, "group_id": [1]}]}, "a group is called a list",
    ),
    "labelme: nobody": ("a.json", "labelme", {"shapes": []}, "nobody in it has keypoints (labelme)"),
    "labelme: twice": ("a.json", "labelme", {"shapes": [LABELME_POINT] * 2}, "one person has 'tip' twice"),
    "cvat: no XML": ("a.xml", "cvat", "<annotations>", "not XML"),
    "cvat: another XML": ("a.xml", "cvat", "<svg/>", "starts with <svg>"),
    "cvat: entities": ("a.xml", "cvat", '<!DOCTYPE a [<!ENTITY b "c">]><annotations/>', "document type"),
    "cvat: a point": ("a.xml", "cvat", cvat("1;2"), "points are '1;2', expected x,y"),
    "cvat: many points": ("a.xml", "cvat", cvat("1,2;3,4"), "expected x,y of one"),
    "cvat: a size": (
        "a.xml", "cvat", "<annotations><image name='a' width='inf'/></annotations>", "width='inf', expected",
    ),
    "cvat: a track's frame": (
        "a.xml", "cvat",
        "<annotations><track id='0' label='p'><skeleton frame='nan'/></track></annotations>", "frame='nan'",
    ),
    "cvat: the video's size": (
        "a.xml", "cvat",
        "<annotations><original_size><width>a</width></original_size></annotations>", "<original_size> is no",
    ),
    "cvat: no name": ("a.xml", "cvat", "<annotations><image id='0'/></annotations>", "<image> has no name"),
    "cvat: a box": (
        "a.xml", "cvat",
        "<annotations><image id='0' name='a' ><box label='p' xtl='a'/></image></annotations>", "xtl='a'",
    ),
    "labelstudio: an object": ("a.json", "labelstudio", {}, "expected a list of tasks"),
    "labelstudio: JSON-MIN": ("a.json", "labelstudio", [{"image": "a.jpg", "kp": []}], "JSON-MIN"),
    "labelstudio: a value": (
        "a.json", "labelstudio", studio([{**STUDIO_POINT, "value": {}}]), "result a: expected original",
    ),
    "labelstudio: a group": (
        "a.json", "labelstudio", studio([{**STUDIO_POINT, "parentID": {}}]), "a group is called a dict",
    ),
    "labelstudio: a meta": (
        "a.json", "labelstudio", studio([{**STUDIO_POINT, "meta": "x"}]), "result a: expected original",
    ),
    "labelstudio: twice": ("a.json", "labelstudio", studio([STUDIO_POINT] * 2), "one person has 'tip' twice"),
    "labelstudio: results": ("a.json", "labelstudio", studio(3), "'result' is not a list"),
    "deeplabcut: no table": ("a.csv", "deeplabcut", b"\xff\xfe\x00", "not a table in CSV"),
    "deeplabcut: another table": ("a.csv", "deeplabcut", "a,b\n1,2\n", "first lines are not scorer"),
    "deeplabcut: too few": ("a.csv", "deeplabcut", DLC + "a.png,1\n", "a.csv:4: got 2 values, the"),
    "deeplabcut: texts": ("a.csv", "deeplabcut", DLC + "a.png,1,b\n", "a.csv:4: expected numbers"),
    "deeplabcut: a header": (
        "a.csv", "deeplabcut", DLC.replace("scorer,me", "scorer,me,me"), "first lines are not scorer",
    ),
    "deeplabcut: no HDF5": ("a.h5", "deeplabcut", "text", "not HDF5"),
    "sleap: no HDF5": ("a.slp", "sleap", "text", "not HDF5"),
    "mpii: no MATLAB": ("a.mat", "mpii", "text", "not a MATLAB file"),
    "mpii: an object": ("a.json", "mpii", {}, "expected MPII's JSON"),
    "mpii: too few": ("a.json", "mpii", [{**MPII, "joints": [[1, 2]]}], "has 1 joints"),
    "mpii: a number": ("a.json", "mpii", [{**MPII, "joints": 3}], "has 1 joints"),
    "mpii: no scale": ("a.json", "mpii", [{**MPII, "scale": None}], "has no scale"),
    "aic: an object": ("a.json", "aic", {}, "expected AI Challenger's JSON"),
    "aic: no id": ("a.json", "aic", [{}], "[0]: expected image_id"),
    "aic: too few": (
        "a.json", "aic", [{**AIC, "keypoint_annotations": {"human1": [1, 2]}}], "human1: expected x, y",
    ),
    "aic: boxes": (
        "a.json", "aic", [{**AIC, "human_annotations": [1]}], "human_annotations: expected an object",
    ),
    "aic: a box": ("a.json", "aic", [{**AIC, "human_annotations": {"human1": [1]}}], "a box's corners"),
    "openpose: a list": ("a_keypoints.json", "openpose", [], "it has no list 'people'"),
    "openpose: no image": ("a_keypoints.json", "openpose", {"people": []}, "no a.* in"),
    "openpose: numbers": (
        "a_keypoints.json", "openpose", {"people": [{"pose_keypoints_2d": [1, 2]}]}, "not x, y and conf",
    ),
    "openpose: a count": (
        "a_keypoints.json", "openpose", {"people": [{"pose_keypoints_2d": [1] * 9}]}, "3 keypoints, expected",
    ),
}  # fmt: skip

CONFIG = """
_BASE_: [_base_/coco_topdown.yml, _base_/lite_hrnet.yml]
num_joints: 3
KeypointSet: {name: arrow, names: [left_tail, right_tail, tip], flip_pairs: [[left_tail, right_tail]]}
weights: output/model_final
"""


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_is_one_line(case, write_text, tmp_path):
    name, kind, content, words = BROKEN[case]
    if name.endswith((".h5", ".slp")) and importlib.util.find_spec("h5py") is None:
        pytest.skip("h5py is not installed")
    file = write_text(name, content)
    if kind == "openpose" and case != "openpose: no image":
        write_text("a.jpg", "")
    with pytest.raises(PposeError) as error:
        read_labels(file.parent if kind == "posetrack" else file, kind)
    assert words in str(error.value)
    assert "\n" not in str(error.value)
    assert file.name in str(error.value) or "no a.* in" in words


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_that_is_not_there_is_one_line(kind, tmp_path):
    endings = {"yolo": ".yaml", "cvat": ".xml", "deeplabcut": ".csv", "sleap": ".slp"}
    file = tmp_path / f"missing{endings.get(kind, '.json')}"
    with pytest.raises(PposeError, match=r"not found|no labels"):
        read_labels(file, kind)


def test_the_command_offers_all_formats():
    assert tuple(FORMATS) == convert._FORMATS


def test_h5py_is_asked_for_by_name(write_text, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(PposeError, match=r"needs h5py, which is not installed: pip install 'ppose\[hdf5\]'"):
        read_labels(write_text("a.slp", "x"))


def test_a_fixed_set_refuses_other_keypoints(labels_of, tmp_path):
    with pytest.raises(PposeError, match=r"MPII has the keypoints .* are tip, left_tail, right_tail"):
        FORMATS["mpii"].write(tmp_path / "a.json", labels_of())


def test_sizes_are_asked_for(labels_of, tmp_path):
    labels = labels_of()
    labels.annotations.images.sizes[:] = 0
    with pytest.raises(PposeError, match=r"the size of video0/000001.jpg, which is unknown.*--image_dir"):
        FORMATS["yolo"].write(tmp_path, labels)


def test_deeplabcuts_h5_as_pandas_writes_it(tmp_path):
    """The layout of pandas' fixed form, by hand; checked once against pandas' own file."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        table = file.create_group("df_with_missing")
        table.attrs["axis0_nlevels"] = 3
        levels, codes = [[b"me"], [b"tip", b"tail"], [b"x", b"y"]], [[0] * 4, [0, 0, 1, 1], [0, 1, 0, 1]]
        for kind in ("axis0", "block0_items"):
            for number in range(3):
                table[f"{kind}_level{number}"] = levels[number]
                table[f"{kind}_label{number}"] = codes[number]
        table["axis1"] = [b"labeled-data/v/img1.png"]
        table["block0_values"] = np.array([[1.5, 2.5, np.nan, np.nan]])
    labels = read_labels(tmp_path / "a.h5")
    assert labels.annotations.images.file_names == ["labeled-data/v/img1.png"]
    np.testing.assert_array_equal(labels.people.keypoints[0], [[1.5, 2.5], [0, 0]])
    np.testing.assert_array_equal(labels.people.visibility[0], [2, 0])


def test_the_command_says_what_is_lost(labels_of, tmp_path, capsys):
    FORMATS["coco"].write(tmp_path / "a.json", labels_of())
    run_command("convert", [str(tmp_path / "a.json"), str(tmp_path / "a.csv")])
    out = capsys.readouterr().out
    assert "4 images, 4 people, 3 keypoints (deeplabcut)" in out
    assert "deeplabcut cannot hold: the boxes of 4 people" in out
    own = tmp_path / "own.yml"
    own.write_text(CONFIG)
    run_command("convert", [str(tmp_path / "a.json"), str(tmp_path / "b.json"), "--keypoint_set", str(own)])
    out = capsys.readouterr().out
    assert "4 people" in out
    assert "keypoints put in the order of 'arrow', by name" in out
    (category, *_) = json.loads((tmp_path / "b.json").read_text())["categories"]
    assert category["keypoints"] == ["left_tail", "right_tail", "tip"]
    run_command("convert", [str(tmp_path / "a.json"), str(tmp_path / "b.json"), "--categories", "child"])
    assert "left out: 2 of category person" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        run_command("convert", [str(tmp_path / "a.json"), str(tmp_path / "folder")])
    assert "give it with --to FORMAT" in capsys.readouterr().err


def test_yolos_images_elsewhere_are_named_on_the_command_line(tmp_path):
    """Labels without their images beside them: the error says how, and so it goes."""
    labels, images = tmp_path / "yolo" / "labels", tmp_path / "photos"
    for folder in (labels, images):
        folder.mkdir(parents=True)
    (tmp_path / "yolo" / "data.yaml").write_text("kpt_shape: [1, 3]\ntrain: images\nnames: [arrow]\n")
    (labels / "a.txt").write_text("0 0.5 0.5 0.5 0.5 0.5 0.5 2\n")
    cv2.imwrite(str(images / "a.png"), np.zeros((20, 20, 3), np.uint8))
    with pytest.raises(PposeError, match=r"image folder not found: .*, with --image_dir DIR"):
        read_labels(tmp_path / "yolo")
    read = read_labels(labels, image_dir=images)
    np.testing.assert_allclose(read.people.keypoints[0], [[9.5, 9.5]], atol=0.51)
