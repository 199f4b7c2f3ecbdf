"""deploy/infer.py on the exported model of the tests."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

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
        code: object = 0
        try:
            runpy.run_path(str(ROOT / INFER), run_name="__main__")
        except SystemExit as leave:
            code = leave.code
        return subprocess.CompletedProcess(arguments, code, *capsys.readouterr())

    return _infer


@pytest.fixture
def photo(crowd, tmp_path):
    """The crowd as a file, and its boxes' file."""
    image, _, boxes = crowd
    cv2.imwrite(str(tmp_path / "7.png"), image[..., ::-1])
    people = [{"image": "7.png", "bbox": [*b[:2].tolist(), *(b[2:] - b[:2]).tolist()]} for b in boxes]
    (tmp_path / "boxes.json").write_text(json.dumps(people))
    return tmp_path / "7.png"


@pytest.fixture
def read_poses(tmp_path):
    """Reads what `infer` wrote of people in images."""
    return lambda: json.loads((tmp_path / "out" / "keypoints.json").read_text())
