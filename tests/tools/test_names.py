"""Names of files as people have them, through all that reads and writes images and videos."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from video_clips import read_clip, write_clip

from ppose.paths import show_name

ROOT = Path(__file__).resolve().parents[2]


def _names():
    """20 names: GBK's and Latin-1's bytes, which are no UTF-8, emoji, 255 bytes, line breaks, dashes."""
    names = [f"人{i}.jpg".encode("gbk") for i in range(5)]
    names += [f"é{i}.png".encode("latin-1") for i in range(4)]
    names += [f"👩‍👧{i}.jpg".encode() for i in range(4)]
    names += [b"x" * 251 + b".jpg", "é".encode() * 125 + b"0.bmp"]
    names += [b"a\nERROR: b.jpg", b"\n.png"]
    names += [b"-o.jpg", b"--help.png", b"%03d.jpg"]
    return [os.fsdecode(name) for name in names]


@pytest.fixture
def dataset(write_coco, tmp_path):
    """A dataset with 20 images of such names, two people in each."""
    folder = write_coco(tmp_path / "coco", images=20)
    content = json.loads((folder / "annotations.json").read_text())
    for image, name in zip(content["images"], _names(), strict=True):
        picture = cv2.imread(str(folder / "images" / image["file_name"]))
        (folder / "images" / image["file_name"]).unlink()
        _, data = cv2.imencode(os.path.splitext(name)[1], picture)
        (folder / "images" / name).write_bytes(data.tobytes())
        image["file_name"] = name
    (folder / "annotations.json").write_text(json.dumps(content))
    return folder


@pytest.fixture
def run(tmp_path):
    def _run(*arguments):
        command = [sys.executable, *map(os.fsencode, arguments)]
        result = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=300)
        for stream in (result.stdout, result.stderr):
            stream.decode()  # one thing that names must not break
        assert not any(line.startswith(b"ERROR") for line in result.stderr.splitlines())
        return result.returncode, result.stdout.decode(), result.stderr.decode()

    return _run


def test_an_exported_model(run, dataset, model_dir, tmp_path):
    out = tmp_path / os.fsdecode(b"out\xd6")
    code, printed, said = run(
        "deploy/infer.py", "--model_dir", model_dir, "--image_dir", dataset / "images", "--boxes",
        dataset / "annotations.json", "--output_dir", out, "--save_json", "--runtime", "onnxruntime",
    )  # fmt: skip
    assert code == 0, said
    assert "60 people in 20 images" in printed
    assert sorted(os.listdir(out)) == sorted([*_names(), "keypoints.json"])
    entries = json.loads((out / "keypoints.json").read_text())
    assert {entry["image"] for entry in entries} == set(map(show_name, _names()))
    json.dumps(entries, ensure_ascii=False).encode()


def test_one_image_with_a_leading_dash(run, dataset, model_dir, tmp_path):
    shutil.copy(dataset / "images" / "-o.jpg", tmp_path)
    code, _, said = run(
        "deploy/infer.py", "--model_dir", model_dir, f"--image_file={tmp_path}/-o.jpg", "--output_dir",
        tmp_path / "out", "--runtime", "onnxruntime",
    )  # fmt: skip
    assert code == 0, said


def test_what_cannot_be_read_is_named(run, dataset, model_dir, tmp_path):
    for name in _names()[:3]:
        (dataset / "images" / name).write_bytes(b"nothing")
    (dataset / "images" / "a\nerror: b.jpg").symlink_to("nowhere")
    code, printed, said = run(
        "deploy/infer.py", "--model_dir", model_dir, "--image_dir", dataset / "images", "--output_dir",
        tmp_path / "out", "--runtime", "onnxruntime",
    )  # fmt: skip
    assert code == 1
    assert "17 people in 17 images" in printed
    assert show_name(dataset / "images" / _names()[0]) in said
    assert r"a\nerror: b.jpg" in said
    assert len([line for line in said.splitlines() if line.startswith("error: ")]) == 1


def test_training_evaluation_and_a_trained_network(run, dataset, tmp_path):
    """The smallest network, for one epoch; then what it finds."""
    (tmp_path / "own.yml").write_text(
        f"""
_BASE_: {ROOT}/configs/synthetic_pose_resnet.yml
trainsize: [64, 64]
hmsize: [16, 16]
PoseResNet: {{depth: 10, width: 8, deconv_channels: 8}}
TrainDataset: &data {{dataset_dir: {dataset}, image_dir: images, anno_path: annotations.json}}
EvalDataset: *data
TrainReader: {{batch_size: 8}}
epoch: 1
save_dir: {tmp_path}/run
use_vdl: false
"""
    )
    config = ["-c", tmp_path / "own.yml"]
    code, _, said = run("tools/train.py", *config, "--eval", "-o", "pretrain_weights=null", "worker_num=2")
    assert code == 0, said
    weights = ["-o", f"weights={tmp_path}/run/own/model_final"]
    code, printed, said = run("tools/eval.py", *config, *weights)
    assert code == 0, said
    assert "AP" in printed
    code, printed, said = run("tools/infer.py", *config, "--infer_dir", dataset / "images", *weights)
    assert code == 0, said
    assert "20 people in 20 images" in printed
    assert {*_names(), "keypoints.json"} <= set(os.listdir(tmp_path / "run/own/vis"))


@pytest.mark.parametrize("name", [b"\xd6\xd0.mp4", b"a:b%03d.mp4", b"x" * 251 + b".avi", b"-a\n.mp4"])
def test_videos(name, tmp_path):
    """Read and written, in a folder with such a name too."""
    folder = tmp_path / os.fsdecode(b"\xd6\xd0")
    path = folder / os.fsdecode(name)
    write_clip(path, [np.full((48, 64, 3), level, np.uint8) for level in (0, 80, 160)])
    assert [round(float(frame.mean()), -1) for _, frame in read_clip(path)] == [0, 80, 160]
    assert os.listdir(folder) == [path.name]


def test_a_video_whose_name_is_as_long_as_can_be(run, model_dir, tmp_path):
    source = tmp_path / ("x" * 251 + ".mp4")
    write_clip(source, [np.full((96, 64, 3), 90, np.uint8)])
    out = tmp_path / os.fsdecode(b"\xd6")
    code, _, said = run(
        "deploy/infer.py", "--model_dir", model_dir, "--video_file", source, "--output_dir", out,
        "--save_json", "--runtime", "onnxruntime",
    )  # fmt: skip
    assert code == 0, said
    assert sorted(os.listdir(out)) == ["x" * 244 + ".jsonl", "x" * 244 + ".mp4"]
