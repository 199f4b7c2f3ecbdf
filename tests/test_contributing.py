"""CONTRIBUTING.md: its examples are a package outside of the repository that trains, exports and predicts."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "CONTRIBUTING.md").read_text()
FILES = re.findall(r"`(my_pose[\w/]*\.\w+)`[^`]*?```\w+\n(.*?)```", PAGE, re.DOTALL)
(COMMANDS,) = re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The page's files, with a picture and four people in it for their data."""
    folder = tmp_path_factory.mktemp("contributed")
    for name, text in FILES:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    rng = np.random.default_rng(0)
    cv2.imwrite(str(folder / "person.jpg"), rng.integers(0, 255, (120, 160, 3), dtype=np.uint8))
    people = [np.column_stack([rng.uniform(10, 100, (17, 2)), np.ones(17)]).ravel() for _ in range(4)]
    rows = [["person.jpg", 10, 10, 90, 90, *person.round(1)] for person in people]
    (folder / "people.csv").write_text("".join(",".join(map(str, row)) + "\n" for row in rows))
    (folder / "bin").mkdir()  # `ppose` as pip writes it: the current folder is not on the path
    (folder / "bin" / "ppose").write_text("from ppose.cli import main\nmain()\n")
    return folder


def run(folder, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


def test_the_page_has_an_example_of_each():
    assert [name for name, _ in FILES] == [
        *("my_pose/losses.py", "my_pose/backbones.py", "my_pose/datasets.py", "my_pose.yml"),
        "my_pose/opencv_runtime.py",
    ]


def test_the_examples_pass_the_linter(folder):
    settings = ["--config", str(ROOT / "pyproject.toml"), "--config", f"src = ['{ROOT}']"]
    result = run(folder, "-m", "ruff", "check", *settings, "my_pose")
    assert result.returncode == 0, result.stdout


def test_the_pages_components_train_export_and_predict(folder):
    for command in COMMANDS.splitlines():
        program, *arguments = shlex.split(command)
        assert program == "ppose"
        result = run(folder, "bin/ppose", *arguments)
        assert result.returncode == 0, result.stderr
    log = (folder / "output" / "my_pose" / "log" / "train.log").read_text()
    assert "loss" in log
    (person,) = json.loads((folder / "output" / "keypoints.json").read_text())
    assert len(person["keypoints"]) == 51
    script = """
import numpy as np
import ppose
from ppose.transforms import read_image
from my_pose.opencv_runtime import open_predictor
image = read_image("person.jpg")
boxes = [[10, 10, 100, 100], [20, 30, 90, 110]]
(own, theirs) = (
    predictor(image, boxes)
    for predictor in (
        open_predictor("output_inference/my_pose"),
        ppose.Predictor.from_dir("output_inference/my_pose", runtime="onnxruntime"),
    )
)
for ours, expected in zip(own, theirs, strict=True):
    np.testing.assert_allclose(ours.keypoints, expected.keypoints, atol=0.01)
"""
    result = run(folder, "-c", script)
    assert result.returncode == 0, result.stderr


def test_the_pages_dataset_names_a_wrong_line(folder):
    (folder / "bad.csv").write_text("person.jpg,1,2,3\n")
    plugins = ["--plugin", "my_pose.losses", "my_pose.backbones", "my_pose.datasets"]
    result = run(
        folder, "bin/ppose", "train", "-c", "my_pose.yml", *plugins, "-o", "TrainDataset.file=bad.csv"
    )
    assert result.returncode == 1
    assert "bad.csv:1: got 4 values, expected 5 and 3 for each of the 17 keypoints" in result.stderr


def test_without_the_plugin_its_names_are_unknown(folder):
    result = run(folder, "bin/ppose", "train", "-c", "my_pose.yml")
    assert result.returncode == 1
    assert "unknown component 'PlainNet'" in result.stderr
    assert "--plugin" in result.stderr
