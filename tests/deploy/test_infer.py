"""deploy/infer.py as a user runs it."""

import argparse
import json
import shutil
import struct

import cv2
import numpy as np
import pytest
from detector_export import write_detector
from video_clips import read_times, write_clip

from ppose.commands import predict
from ppose.inference.predictor import Predictor

INFER = "deploy/infer.py"


def test_command_and_python_give_the_same_numbers(infer, model_dir, photo, crowd, read_poses, tmp_path):
    boxes = tmp_path / "boxes.json"
    for options, arguments in (
        ([], {}),
        (["--use_dark"], {"use_dark": True}),
        (["--use_dark", "0", "--batch_size", "1"], {"use_dark": False}),
    ):
        result = infer("--image_file", photo, "--boxes", boxes, "--save_json", "true", *options)
        assert result.returncode == 0, result.stderr
        assert "2 people in 1 image" in result.stdout
        poses = Predictor.from_dir(model_dir, **arguments)(crowd[0], crowd[2])
        written = read_poses()
        assert [entry["image_id"] for entry in written] == [7, 7]
        for entry, pose, box in zip(written, poses, crowd[2], strict=True):
            points = np.array(entry["keypoints"]).reshape(-1, 3)
            np.testing.assert_allclose(points[:, :2], pose.keypoints, atol=1e-4)
            np.testing.assert_allclose(points[:, 2], pose.scores, atol=1e-6)
            assert entry["score"] == pytest.approx(pose.score, abs=1e-6)
            np.testing.assert_allclose(entry["bbox"], [*box[:2], *(box[2:] - box[:2])])
    drawn = cv2.imread(str(tmp_path / "out" / "7.png"))
    assert drawn.shape == crowd[0].shape
    assert (drawn != crowd[0][..., ::-1]).any()


def test_a_folder_and_where_the_time_went(infer, photo, tmp_path):
    (tmp_path / "in").mkdir()
    for name in "ab":
        shutil.copy(photo, tmp_path / "in" / f"{name}.png")
    result = infer("--image_dir", tmp_path / "in", "--run_benchmark", "--runtime", "onnxruntime")
    assert result.returncode == 0, result.stderr
    assert "2 people in 2 images" in result.stdout
    assert "a person, over 2: preprocess " in result.stdout
    assert "runtime: onnxruntime" in result.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "b.png"]


def _with_orientation(jpeg, orientation):
    """The JPEG with an EXIF block that says how to turn it."""
    tiff = b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    block = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + jpeg[2:]


def test_images_of_every_kind(infer, photo, crowd, read_poses, tmp_path):
    """Grey, with transparency, turned by EXIF, a single pixel: poses in the picture as it is seen."""
    image = crowd[0][..., ::-1]
    folder = tmp_path / "in"
    folder.mkdir()
    cv2.imwrite(str(folder / "grey.png"), image[..., 0])
    alpha = np.full((*image.shape[:2], 1), 255, np.uint8)
    cv2.imwrite(str(folder / "alpha.png"), np.concatenate([image, alpha], axis=2))
    cv2.imwrite(str(folder / "pixel.png"), image[:1, :1])
    turned = cv2.rotate(image, cv2.ROTATE_90_COUNTERCLOCKWISE)
    _, jpeg = cv2.imencode(".jpg", turned, [cv2.IMWRITE_JPEG_QUALITY, 98])
    (folder / "turned.jpg").write_bytes(_with_orientation(jpeg.tobytes(), 6))
    boxes = [
        {"image": name, "bbox": [40, 30, 80, 160]} for name in ("alpha.png", "turned.jpg", "grey.png")
    ] + [{"image": "pixel.png", "bbox": [0, 0, 1, 1]}]
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    result = infer("--image_dir", folder, "--boxes", tmp_path / "boxes.json", "--save_json")
    assert result.returncode == 0, result.stderr
    poses = {entry["image"]: np.array(entry["keypoints"]).reshape(-1, 3) for entry in read_poses()}
    assert poses.keys() == {"grey.png", "alpha.png", "pixel.png", "turned.jpg"}
    for name in ("alpha.png", "turned.jpg"):
        np.testing.assert_allclose(poses[name][:, :2], crowd[1][0], atol=4)
    assert cv2.imread(str(tmp_path / "out" / "turned.jpg")).shape == image.shape


def test_each_image_is_decoded_once(infer_here, photo, tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    for number in range(6):
        shutil.copy(photo, tmp_path / "in" / f"{number}.png")
    people = [{"image": f"{number}.png", "bbox": [40, 30, 80, 160]} for number in range(6)]
    (tmp_path / "six.json").write_text(json.dumps(people))
    decoded, imdecode = [], cv2.imdecode
    monkeypatch.setattr(cv2, "imdecode", lambda *arguments: decoded.append(1) or imdecode(*arguments))
    given = ["--boxes", tmp_path / "six.json", "--runtime", "onnxruntime"]
    assert infer_here("--image_dir", tmp_path / "in", *given).returncode == 0
    assert len(decoded) == 6


def test_a_video_with_a_detector(infer, draw_person, tmp_path):
    """The same path as of images: decoding, detection, poses, numbers, and what is written."""
    write_detector(tmp_path / "det", [20, 10, 76, 120])
    image = np.full((128, 160, 3), 90, np.uint8)
    people = draw_person(image, (40, 30), (52, 95), radius=6)
    write_clip(tmp_path / "v.mp4", [image] * 5)
    result = infer(
        "--video_file", tmp_path / "v.mp4", "--det_model_dir", tmp_path / "det", "--save_json",
        "--smooth", "rts", "--save_tracks", "csv",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "5 frames" in result.stdout
    lines = [json.loads(line) for line in (tmp_path / "out" / "v.jsonl").read_text().splitlines()]
    assert [[person["track_id"] for person in line["people"]] for line in lines] == [[1]] * 5
    for line in lines:
        points = np.array(line["people"][0]["keypoints"]).reshape(-1, 3)
        np.testing.assert_allclose(points[:, :2], people, atol=4)
        assert line["people"][0]["bbox"] == [20, 10, 56, 110]
    assert len(read_times(tmp_path / "out" / "v.mp4")) == 5
    assert len((tmp_path / "out" / "v.tracks.csv").read_text().splitlines()) == 1 + 5 * 2


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], None),
        (["--smooth"], "one_euro"),  # as before there was a choice
        (["--smooth", "true"], "one_euro"),
        (["--smooth", "false"], None),
        (["--smooth", "savgol"], "savgol"),
    ],
)
def test_smoothing_is_asked_for_as_before(arguments, expected):
    parser = argparse.ArgumentParser()
    predict.add_options(parser)
    args = parser.parse_args(["--model_dir", "x", "--video_file", "y", *arguments])
    assert args.smooth == expected


def test_nobody_in_the_picture_is_no_error(infer, read_poses, tmp_path):
    cv2.imwrite(str(tmp_path / "empty.png"), np.full((300, 300, 3), 90, np.uint8))
    detector = write_detector(tmp_path / "det", [20, 10, 76, 120])
    options = ["--det_model_dir", detector, "--det_threshold", "0.95", "--save_json"]
    result = infer("--image_file", tmp_path / "empty.png", *options)
    assert result.returncode == 0, result.stderr
    assert "0 people in 1 image" in result.stdout
    assert read_poses() == []


def test_help_is_quick_and_images_need_no_paddle(run_script, model_dir, photo, tmp_path):
    """With another runtime Paddle is never imported, nor anything of training."""
    script = f"""
import runpy, sys
sys.argv = ["{INFER}", *sys.argv[1:]]
try:
    runpy.run_path("{INFER}", run_name="__main__")
except SystemExit as leave:
    assert leave.code == 0, leave.code
print(sorted(sys.modules))
"""
    help_text = run_script("-c", script, "--help")
    assert help_text.returncode == 0, help_text.stderr
    for heavy in ("paddle", "cv2", "numpy", "yaml"):
        assert f"'{heavy}'" not in help_text.stdout
    out = ["--output_dir", tmp_path / "out"]
    result = run_script(
        "-c", script, "--model_dir", model_dir, "--image_file", photo, "--runtime", "onnxruntime", *out
    )
    assert result.returncode == 0, result.stderr
    for heavy in ("paddle", "openvino", "ppose.engine", "ppose.models", "ppose.data", "requests"):
        assert f"'{heavy}'" not in result.stdout


def test_boxes_obey_threshold_and_class(infer, photo, read_poses, tmp_path):
    image = {"id": 3, "file_name": "7.png", "width": 320, "height": 240}
    box = {"image_id": 3, "bbox": [40, 30, 80, 160]}
    people = [{**box, "category_id": 1, "score": score} for score in (0.4, 0.9)]
    others = [{**box, "category_id": 3}, {**box, "category_id": 1, "iscrowd": 1}]
    categories = [{"id": 1, "name": "person"}, {"id": 3, "name": "car"}]
    content = {"images": [image], "annotations": people + others, "categories": categories}
    (tmp_path / "ann.json").write_text(json.dumps(content))
    asked = [
        "--image_file",
        photo,
        "--boxes",
        tmp_path / "ann.json",
        "--save_json",
        "--runtime",
        "onnxruntime",
    ]
    for flags, count in (
        ([], 1),
        (["--det_threshold", "0.3"], 2),
        (["--det_class", "car"], 1),
        (["--det_class", "car", "1", "--det_threshold", "0"], 3),
    ):
        assert infer(*asked, *flags).returncode == 0
        assert len(read_poses()) == count
    result = infer("--image_file", photo, "--det_class", "car")
    assert result.returncode == 2
    assert "--det_class needs" in result.stderr
