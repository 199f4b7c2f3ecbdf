"""The real command on corrupt exports and detectors: one error line, or poses without NaN."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from robustness.effort import SEED
from robustness.runner import check_end, running
from robustness.spoilt_detectors import spoilt_detectors
from robustness.spoilt_exports import spoilt_exports

_RUNTIMES = ("onnx_runtime", "onnx_graph", "openvino_runtime", "openvino_graph", "paddle_runtime")
_MODULES = (
    "ppose.commands.predict",
    "ppose.inference.command",
    "ppose.inference.label_files",
    *(f"ppose.inference.runtimes.{name}" for name in _RUNTIMES),
)
_A_FEW = 12  # the short run tries one in so many


@pytest.fixture
def image(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (120, 80, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), noise)
    return tmp_path / "a.png"


def _try(run, what: str, image: Path, *arguments: str) -> int:
    """Run `ppose predict`, and read its output as strict JSON; returns the exit code."""
    output = image.parent / "output"
    always = ["--image_file", str(image), "--output_dir", str(output), "--save_json", "--cpu_threads", "1"]
    result = run(["predict", *always, *arguments])
    check_end(result, what, output)
    file = output / "keypoints.json"
    assert file.is_file() == (result["code"] == 0), what
    if file.is_file():
        json.loads(file.read_text(), parse_constant=lambda name: pytest.fail(f"{what}: {name}"))
        file.unlink()
    return result["code"]


def _try_exports(model_dir, image, every):
    folder = image.parent / "made"
    folder.mkdir()
    codes = []
    with running(_MODULES, image.parent) as run:
        for name, runtime, made in spoilt_exports(model_dir, folder, every=every, seed=1000 * SEED):
            arguments = ["--model_dir", str(made), "--runtime", runtime]
            codes.append(_try(run, f"{runtime}: {name}", image, *arguments))
    return codes


def _try_detectors(model_dir, image, every):
    folder = image.parent / "made"
    folder.mkdir()
    codes = []
    with running(_MODULES, image.parent) as run:
        for name, made in spoilt_detectors(model_dir, folder, every=every, seed=1000 * SEED):
            arguments = [
                "--model_dir",
                str(model_dir),
                "--runtime",
                "onnxruntime",
                "--det_model_dir",
                str(made),
            ]
            codes.append(_try(run, name, image, *arguments))
    return codes


def test_a_few_spoilt_exports(model_dir, image):
    assert 1 in _try_exports(model_dir, image, 4 * _A_FEW)


def test_a_few_spoilt_detectors(model_dir, image):
    assert 1 in _try_detectors(model_dir, image, 2 * _A_FEW)


@pytest.mark.heavy
def test_all_spoilt_exports(model_dir, image):
    codes = _try_exports(model_dir, image, 1)
    assert len(codes) >= 89
    assert codes.count(0) < len(codes) / 3  # of faults that do no harm


@pytest.mark.heavy
def test_all_spoilt_detectors(model_dir, image):
    codes = _try_detectors(model_dir, image, 1)
    assert len(codes) >= 16
    assert codes.count(0) < len(codes) / 2
