"""deploy/infer.py on bad input, and interrupted."""

import itertools
import json
import shutil
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest
from video_clips import read_times, write_clip

from ppose.inference import pose_files

ROOT = Path(__file__).resolve().parent.parent.parent
INFER = "deploy/infer.py"


def assert_one_line(result, *expected):
    assert result.returncode == 1, result.stderr
    assert "Traceback" not in result.stderr
    lines = [line for line in result.stderr.splitlines() if not line.startswith("INFO: ")]
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("error: ")
    for words in expected:
        assert words in lines[0]


def test_an_image_that_cannot_be_read_does_not_cost_the_others(infer_here, photo, read_poses, tmp_path):
    (tmp_path / "in").mkdir()
    for name in "abc":
        shutil.copy(photo, tmp_path / "in" / f"{name}.png")
    (tmp_path / "in" / "b.png").write_bytes(photo.read_bytes()[:-200])
    boxes = [{"image": f"{name}.png", "bbox": [40, 30, 80, 160]} for name in "abc"]
    (tmp_path / "in.json").write_text(json.dumps(boxes))
    found = ["--boxes", tmp_path / "in.json", "--save_json", "--runtime", "onnxruntime"]
    result = infer_here("--image_dir", tmp_path / "in", *found)
    assert result.returncode == 1
    assert "2 people in 2 images" in result.stdout
    assert result.stderr.splitlines()[-1].startswith("error: 1 of 3 images were skipped: image is truncated:")
    assert [entry["image"] for entry in read_poses()] == ["a.png", "c.png"]
    pictures = sorted(path.name for path in (tmp_path / "out").glob("*.png"))
    assert pictures == ["a.png", "c.png"]


def test_a_folder_as_of_a_phone(infer_here, photo, read_poses, tmp_path, monkeypatch, caplog):
    """What can be read is done, GIF too; the rest is reported. Notes and labels beside them are no images."""
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    folder = tmp_path / "in"
    folder.mkdir()
    image = cv2.imread(str(photo))
    for name in ("a.jpg", "b.gif"):
        (folder / name).write_bytes(cv2.imencode(name[1:], image)[1].tobytes())
    (folder / "IMG_1.HEIC").write_bytes(b"\x00\x00\x00\x18ftypheic0000")
    (folder / "IMG_2.DNG").write_bytes(b"II*\x00")
    (folder / "gone.png").symlink_to("nowhere")
    for name in ("notes.txt", ".DS_Store", "a.json", "IMG_3.MOV"):
        (folder / name).write_text("{}")
    result = infer_here("--image_dir", folder, "--save_json", "--runtime", "onnxruntime")
    assert result.returncode == 1
    assert "2 people in 2 images" in result.stdout
    assert "error: 3 of 5 images were skipped" in result.stderr
    of_videos = "left out 1 videos: name each as --video_file"
    for said in (
        "IMG_1.HEIC is HEIC",
        "ppose[heif]",
        "readable image: " + str(folder),
        "gone.png",
        of_videos,
    ):
        assert said in caplog.text
    assert [entry["image"] for entry in read_poses()] == ["a.jpg", "b.gif"]
    assert {"a.jpg", "b.gif.png"} <= {path.name for path in (tmp_path / "out").iterdir()}


def test_heic_folder(infer_here, reference, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    folder = reference / "cases" / "heic_folder" / "images"
    result = infer_here("--image_dir", folder, "--runtime", "onnxruntime")
    assert result.returncode == 1
    assert "1 person in 1 image" in result.stdout
    assert "IMG_1.HEIC" in result.stderr


def test_a_picture_too_large_for_its_format_becomes_a_png(infer, tmp_path):
    """WebP has 16,383 pixels a side."""
    wide = np.zeros((4, 16400, 3), np.uint8)
    (tmp_path / "wide.tif").write_bytes(cv2.imencode(".tif", wide)[1].tobytes())
    (tmp_path / "wide.tif").rename(tmp_path / "wide.webp")
    result = infer("--image_file", tmp_path / "wide.webp", "--runtime", "onnxruntime")
    assert result.returncode == 0
    assert not [line for line in result.stderr.splitlines() if not line.startswith("INFO: ")]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["wide.webp.png"]


def test_ctrl_c_in_a_folder_keeps_what_was_done(infer_here, photo, read_poses, tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    for name in "abc":
        shutil.copy(photo, tmp_path / "in" / f"{name}.png")
    run = pose_files.run_pipeline

    def stop_after_two(*arguments):
        with closing(run(*arguments)) as results:
            yield from itertools.islice(results, 2)
            raise KeyboardInterrupt

    monkeypatch.setattr(pose_files, "run_pipeline", stop_after_two)
    result = infer_here("--image_dir", tmp_path / "in", "--save_json", "--runtime", "onnxruntime")
    assert (result.returncode, result.stderr.splitlines()[-1]) == (130, "interrupted")
    done = [entry["image"] for entry in read_poses()]
    assert done[:2] == ["a.png", "b.png"]
    assert sorted(path.name for path in (tmp_path / "out").glob("*")) == [*done, "keypoints.json"]


def test_ctrl_c_leaves_a_playable_video(model_dir, tmp_path):
    images = (np.full((64, 64, 3), frame % 256, np.uint8) for frame in range(6000))
    write_clip(tmp_path / "long.mp4", images, 25, codec="mpeg4")
    command = [
        sys.executable, INFER, "--model_dir", model_dir, "--video_file", tmp_path / "long.mp4",
        "--output_dir", tmp_path / "out", "--save_json", "--runtime", "onnxruntime",
    ]  # fmt: skip
    process = subprocess.Popen(list(map(str, command)), cwd=ROOT, stderr=subprocess.PIPE, text=True)
    limit = time.monotonic() + 60
    while not any((tmp_path / "out").glob("long.*.part.jsonl")) and time.monotonic() < limit:
        time.sleep(0.05)
    time.sleep(0.7)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert errors.splitlines()[-1] == "interrupted"
    frames = len(read_times(tmp_path / "out" / "long.mp4"))
    lines = (tmp_path / "out" / "long.jsonl").read_text().splitlines()
    assert 0 < frames < 6000
    assert abs(len(lines) - frames) <= 1
    assert json.loads(lines[-1])["frame"] == len(lines) - 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["long.jsonl", "long.mp4"]


def test_a_video_that_was_cut_off_gives_what_there_is(infer_here, tmp_path):
    writer = cv2.VideoWriter(str(tmp_path / "a.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for _ in range(20):
        writer.write(np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8))
    writer.release()
    data = (tmp_path / "a.avi").read_bytes()
    (tmp_path / "a.avi").write_bytes(data[: len(data) // 2])
    result = infer_here("--video_file", tmp_path / "a.avi", "--save_json", "--runtime", "onnxruntime")
    count = len((tmp_path / "out" / "a.jsonl").read_text().splitlines())
    assert 5 < count < 15
    assert len(read_times(tmp_path / "out" / "a.mp4")) == count
    assert f"{count} frames" in result.stdout
    assert_one_line(
        result, f"video is cut short: {tmp_path / 'a.avi'} ({count} frames,", "of 2.0 s, could be"
    )


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
        (model_dir, ["--image_file", tmp_path / "file", "--save_json"], ["not a readable image"]),
        (model_dir, ["--image_dir", tmp_path / "empty"], ["no image in"]),
        (model_dir, [*image, "--output_dir", tmp_path / "file" / "out"], ["Not a directory"]),
        (model_dir, [*image, "--output_dir", tmp_path], ["holds the images themselves"]),
        (model_dir, [*image, "--det_model_dir", tmp_path / "empty"], ["holds no detector"]),
    ):
        assert_one_line(infer_here(*arguments, model=model), *expected)


@pytest.mark.parametrize(
    ("missing", "arguments", "package"),
    [
        ("openvino", ["--runtime", "openvino"], "openvino"),
        ("paddle", ["--runtime", "onnxruntime", "--det_model_dir", "det"], "paddlepaddle"),
    ],
)
def test_a_runtime_that_is_not_installed(run_script, model_dir, photo, missing, arguments, package, tmp_path):
    (tmp_path / "infer_cfg.yml").write_text("Preprocess: [{type: Permute}]")
    for name in ("model.json", "model.pdiparams"):
        (tmp_path / name).touch()
    arguments = [str(tmp_path) if argument == "det" else argument for argument in arguments]
    script = f"""
import importlib.util, runpy, sys
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "{missing}" else find(name, *rest)
sys.argv = ["{INFER}", "--model_dir", "{model_dir}", "--image_file", "{photo}", *{arguments}]
runpy.run_path("{INFER}", run_name="__main__")
"""
    assert_one_line(run_script("-c", script), f"runtime {missing} is not installed: pip install {package}")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--use_dark", "maybe"], "got 'maybe', expected true or false"),
        (
            ["--run_mode", "trt_int8", "--runtime", "openvino", "--device", "gpu"],
            "needs --runtime paddle, got openvino",
        ),
        (["--run_mode", "trt_fp16"], "needs --device gpu"),
        (["--trt_calib_mode"], "--trt_calib_mode"),
        (["--image_dir", "x"], "not allowed with"),
        (["--batch_size", "0"], "got '0', expected a whole number of 1 or more"),
        (["--every", "2"], "--start, --end, --every and --fps are for videos"),
        (["--start", "1:2:3:4"], "got '1:2:3:4', expected seconds, or a time such as 0:01:30.5"),
        (["--fps", "0/1"], "got '0/1', expected frames per second as in 25 or 30000/1001"),
        (["--codec", "x264"], "invalid choice: 'x264'"),
        (["--tiles", "2x2"], "--tiles needs a --detector"),
        (["--tiles", "2x"], "got '2x', expected columns and rows such as 2x2"),
        (["--smooth", "much"], "got 'much', expected one_euro, savgol or rts"),
        (["--fill_gaps", "-1"], "got '-1', expected seconds, 0 or more"),
        (["--fill_gaps", "0.5"], "--fill_gaps and --save_tracks are for videos"),
        (["--low_threshold", "0.3"], "--low_threshold is for videos with --detector"),
        (["--save_tracks", "mot"], "--fill_gaps and --save_tracks are for videos"),
    ],
)
def test_flags_that_do_not_go_together(infer_here, photo, arguments, expected):
    result = infer_here("--image_file", photo, *arguments)
    assert result.returncode == 2
    assert expected in result.stderr


def test_videos_need_pyav(run_script, model_dir, tmp_path):
    script = f"""
import runpy, sys
sys.modules["av"] = None
sys.argv = ["{INFER}", "--model_dir", "{model_dir}", "--video_file", "a.mp4", "--output_dir", "{tmp_path}"]
runpy.run_path("{INFER}", run_name="__main__")
"""
    expected = "av is needed and not installed: pip install 'ppose[video]'"
    assert_one_line(run_script("-c", script), expected)


def test_a_part_of_a_video_as_it_is_asked_for(infer_here, tmp_path):
    write_clip(tmp_path / "a.mp4", [np.full((48, 64, 3), 10 * level, np.uint8) for level in range(20)])
    asked = ["--start", "0:00.5", "--end", "1.5", "--every", "2", "--codec", "mpeg4", "--save_json"]
    result = infer_here("--video_file", tmp_path / "a.mp4", *asked, "--runtime", "onnxruntime")
    assert result.returncode == 0, result.stderr
    lines = (tmp_path / "out" / "a.jsonl").read_text().splitlines()
    assert [json.loads(line)["time"] for line in lines] == [0.5, 0.7, 0.9, 1.1, 1.3]
    assert [json.loads(line)["frame"] for line in lines] == list(range(5))
    np.testing.assert_allclose(read_times(tmp_path / "out" / "a.mp4"), [0, 0.2, 0.4, 0.6, 0.8], atol=1e-9)
    result = infer_here("--video_file", tmp_path / "a.mp4", "--start", "2", "--end", "1")
    assert (result.returncode, "expected a later end" in result.stderr) == (2, True)
    assert_one_line(infer_here("--stream", "ftp://a.org/x"), "ftp://a.org/x is no stream: expected rtsp://")


@pytest.mark.parametrize("arguments", [("--smooth", "rts"), ("--smooth", "savgol"), ("--fill_gaps", "1")])
def test_of_a_camera_nobody_knows_what_comes(infer_here, arguments):
    result = infer_here("--camera_id", "0", *arguments)
    assert result.returncode == 2
    assert "need a video file: they use later frames" in result.stderr


def test_a_camera_has_a_number_from_0_on(infer_here):
    """OpenCV takes -1 for a request to choose, and crashes where there is none to choose from."""
    result = infer_here("--camera_id=-1")
    assert result.returncode == 2
    assert "got '-1', expected a whole number of 0 or more" in result.stderr
