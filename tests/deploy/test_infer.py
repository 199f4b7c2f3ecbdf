"""deploy/infer.py as a user runs it, on good input and on bad."""

import json
import runpy
import shutil
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from ppose.inference.predictor import Predictor
from ppose.inference.video_files import Frames, writing_video

ROOT = Path(__file__).resolve().parent.parent.parent
INFER = "deploy/infer.py"


@pytest.fixture
def infer(run_script, model_dir, tmp_path):
    """Runs the command on the exported model of the tests, into `tmp_path / "out"`."""

    def _infer(*arguments, model=model_dir):
        return run_script(INFER, "--model_dir", model, "--output_dir", tmp_path / "out", *arguments)

    return _infer


@pytest.fixture
def infer_here(model_dir, tmp_path, monkeypatch, capsys):
    """As `infer`, in this process: quicker."""

    def _infer(*arguments, model=model_dir):
        out = ["--output_dir", tmp_path / "out"]
        monkeypatch.setattr(sys, "argv", list(map(str, [INFER, "--model_dir", model, *out, *arguments])))
        with pytest.raises(SystemExit) as leave:
            runpy.run_path(str(ROOT / INFER), run_name="__main__")
        return subprocess.CompletedProcess(arguments, leave.value.code, *capsys.readouterr())

    return _infer


@pytest.fixture
def photo(crowd, tmp_path):
    """The crowd as a file, and its boxes' file."""
    image, _, boxes = crowd
    cv2.imwrite(str(tmp_path / "7.png"), image[..., ::-1])
    people = [{"image": "7.png", "bbox": [*b[:2].tolist(), *(b[2:] - b[:2]).tolist()]} for b in boxes]
    (tmp_path / "boxes.json").write_text(json.dumps(people))
    return tmp_path / "7.png"


def assert_one_line(result, *expected):
    assert result.returncode == 1, result.stderr
    assert "Traceback" not in result.stderr
    lines = [line for line in result.stderr.splitlines() if not line.startswith("INFO: ")]
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("error: ")
    for words in expected:
        assert words in lines[0]


def read_poses(tmp_path):
    return json.loads((tmp_path / "out" / "keypoints.json").read_text())


def test_command_and_python_give_the_same_numbers(infer, model_dir, photo, crowd, tmp_path):
    boxes = tmp_path / "boxes.json"
    for options, arguments in (
        ([], {}),
        (["--use_dark"], {"use_dark": True}),
        (["--use_dark", "0", "--batch_size", "1"], {"use_dark": False}),
    ):
        result = infer("--image_file", photo, "--boxes", boxes, "--save_json", "true", *options)
        assert result.returncode == 0, result.stderr
        assert "2 people in 1 images" in result.stdout
        poses = Predictor.from_dir(model_dir, **arguments)(crowd[0], crowd[2])
        written = read_poses(tmp_path)
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


def test_images_of_every_kind(infer, photo, crowd, tmp_path):
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
    poses = {entry["image"]: np.array(entry["keypoints"]).reshape(-1, 3) for entry in read_poses(tmp_path)}
    assert poses.keys() == {"grey.png", "alpha.png", "pixel.png", "turned.jpg"}
    for name in ("alpha.png", "turned.jpg"):
        np.testing.assert_allclose(poses[name][:, :2], crowd[1][0], atol=4)
    assert cv2.imread(str(tmp_path / "out" / "turned.jpg")).shape == image.shape


def test_a_video_with_a_detector(infer, model_dir, draw_person, tmp_path):
    """The same path as of images: decoding, detection, poses, numbers, and what is written."""
    import paddle

    class Whole(paddle.nn.Layer):
        def __init__(self):
            super().__init__()
            box = paddle.nn.initializer.Assign(np.array([[0, 0.9, 20, 10, 76, 120]], "float32"))
            self.box = self.create_parameter([1, 6], default_initializer=box)

        def forward(self, image, scale_factor):
            return self.box + 0 * image.mean() + 0 * scale_factor.mean(), paddle.ones([1], "int32")

    spec = [
        paddle.static.InputSpec([None, 3, 64, 64], "float32", "image"),
        paddle.static.InputSpec([None, 2], "float32", "scale_factor"),
    ]
    paddle.jit.save(paddle.jit.to_static(Whole(), spec, full_graph=True), str(tmp_path / "det" / "model"))
    cfg = {
        "Preprocess": [
            {"type": "Resize", "target_size": [64, 64], "keep_ratio": False},
            {"type": "NormalizeImage", "mean": [0, 0, 0], "std": [1, 1, 1]},
            {"type": "Permute"},
        ],
        "label_list": ["person"],
    }
    (tmp_path / "det" / "infer_cfg.yml").write_text(yaml.safe_dump(cfg))
    with writing_video(tmp_path / "v.mp4", 10, (160, 128)) as video:
        for _ in range(5):
            image = np.full((128, 160, 3), 90, np.uint8)
            people = draw_person(image, (40, 30), (52, 95), radius=6)
            video.write(image)
    result = infer(
        "--video_file", tmp_path / "v.mp4", "--det_model_dir", tmp_path / "det", "--save_json", "--smooth"
    )
    assert result.returncode == 0, result.stderr
    assert "5 frames" in result.stdout
    lines = [json.loads(line) for line in (tmp_path / "out" / "v.jsonl").read_text().splitlines()]
    assert [[person["track_id"] for person in line["people"]] for line in lines] == [[1]] * 5
    for line in lines:
        points = np.array(line["people"][0]["keypoints"]).reshape(-1, 3)
        np.testing.assert_allclose(points[:, :2], people, atol=4)
        assert line["people"][0]["bbox"] == [20, 10, 56, 110]
    assert len(list(Frames(tmp_path / "out" / "v.mp4"))) == 5


@pytest.mark.skipif(not hasattr(cv2, "HOGDescriptor"), reason="this OpenCV has no contrib modules")
def test_nobody_in_the_picture_is_no_error(infer, tmp_path):
    cv2.imwrite(str(tmp_path / "empty.png"), np.full((300, 300, 3), 90, np.uint8))
    result = infer("--image_file", tmp_path / "empty.png", "--detector", "hog", "--save_json")
    assert result.returncode == 0, result.stderr
    assert "0 people in 1 images" in result.stdout
    assert read_poses(tmp_path) == []


def test_ctrl_c_leaves_a_playable_video(model_dir, tmp_path):
    with writing_video(tmp_path / "long.mp4", 25, (64, 64)) as video:
        for frame in range(20000):
            video.write(np.full((64, 64, 3), frame % 256, np.uint8))
    command = [
        sys.executable, INFER, "--model_dir", model_dir, "--video_file", tmp_path / "long.mp4",
        "--output_dir", tmp_path / "out", "--save_json", "--runtime", "onnxruntime",
    ]  # fmt: skip
    process = subprocess.Popen(list(map(str, command)), cwd=ROOT, stderr=subprocess.PIPE, text=True)
    limit = time.monotonic() + 60
    while not any((tmp_path / "out").glob(".long.jsonl.*/*")) and time.monotonic() < limit:
        time.sleep(0.05)
    time.sleep(0.7)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert errors.splitlines()[-1] == "interrupted"
    frames = len(list(Frames(tmp_path / "out" / "long.mp4")))
    lines = (tmp_path / "out" / "long.jsonl").read_text().splitlines()
    assert 0 < frames < 20000
    assert abs(len(lines) - frames) <= 1
    assert json.loads(lines[-1])["frame"] == len(lines) - 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["long.jsonl", "long.mp4"]


def test_what_users_do_wrong_is_one_line(infer_here, photo, model_dir, tmp_path):
    image = ["--image_file", photo]
    half = shutil.copytree(model_dir, tmp_path / "half")
    (half / "model.onnx").unlink()
    other = shutil.copytree(model_dir, tmp_path / "other")
    text = (other / "infer_cfg.yml").read_text()
    (other / "infer_cfg.yml").write_text(text.replace("format: 2", "format: 9"))
    (tmp_path / "empty").mkdir()
    (tmp_path / "zero.mp4").write_bytes(b"")
    (tmp_path / "file").write_text("")
    for model, arguments, expected in (
        (tmp_path / "empty", image, ["holds no exported model", "tools/export_model.py"]),
        (half, image, ["half-written export", "model.onnx", "export again"]),
        (other, image, ["another version", "export again"]),
        (model_dir, [*image, "--device", "gpu", "--runtime", "paddle"], ["device is gpu, but"]),
        (model_dir, [*image, "--device", "GPU", "--run_mode", "trt_fp16"], ["device is gpu, but"]),
        (model_dir, ["--video_file", tmp_path / "zero.mp4"], ["video is empty", "zero.mp4"]),
        (model_dir, ["--video_file", tmp_path / "file"], ["video is empty"]),
        (model_dir, ["--camera_id", "97"], ["camera 97 gives no picture"]),
        (model_dir, ["--image_file", tmp_path / "file"], ["not a readable image"]),
        (model_dir, ["--image_dir", tmp_path / "empty"], ["no image in"]),
        (model_dir, [*image, "--output_dir", tmp_path / "file" / "out"], ["Not a directory"]),
        (model_dir, [*image, "--output_dir", tmp_path], ["holds the images themselves"]),
        (model_dir, [*image, "--det_model_dir", tmp_path / "empty"], ["no detector of PaddleDetection"]),
    ):
        assert_one_line(infer_here(*arguments, model=model), *expected)


def test_a_runtime_that_is_not_installed(run_script, model_dir, photo):
    script = f"""
import importlib.util, runpy, sys
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "openvino" else find(name, *rest)
sys.argv = ["{INFER}", "--model_dir", "{model_dir}", "--image_file", "{photo}", "--runtime", "openvino"]
runpy.run_path("{INFER}", run_name="__main__")
"""
    assert_one_line(run_script("-c", script), "runtime openvino is not installed: pip install openvino")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--use_dark", "maybe"], "got 'maybe', expected true or false"),
        (["--run_mode", "trt_int8", "--runtime", "openvino", "--device", "gpu"], "is Paddle's"),
        (["--run_mode", "trt_fp16"], "needs --device gpu"),
        (["--trt_calib_mode"], "--trt_calib_mode"),
        (["--image_dir", "x"], "not allowed with"),
    ],
)
def test_flags_that_do_not_go_together(infer_here, photo, arguments, expected):
    result = infer_here("--image_file", photo, *arguments)
    assert result.returncode == 2
    assert expected in result.stderr


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
