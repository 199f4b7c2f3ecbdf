"""What a wheel holds, and what runs without the packages of its extras."""

import subprocess
import sys
from pathlib import Path

import pytest
from runs import data_overrides

ROOT = Path(__file__).resolve().parent.parent


def test_a_wheel_holds_all_modules_and_configs(tmp_path):
    pytest.importorskip("setuptools")
    build = ["egg_info", "-e", tmp_path, "build_py", "-d", tmp_path / "lib"]
    done = subprocess.run(
        [sys.executable, "setup.py", "--quiet", *map(str, build)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    packed = {str(path.relative_to(tmp_path / "lib")) for path in (tmp_path / "lib").rglob("*.*")}
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "ppose").rglob("*.py")}
    modules |= {"ppose/reports/page.html", "ppose/weights/models.yml"}
    configs = {f"ppose/{path.relative_to(ROOT)}" for path in (ROOT / "configs").rglob("*.yml")}
    page = {str(path.relative_to(ROOT)) for path in (ROOT / "ppose/serving/page").iterdir()}
    assert packed - {"ppose/configs"} == modules | configs | page


# As in an environment of `pip install .` alone.
MISSING = """
import sys
for name in ({names}):
    sys.modules[name] = None
"""
EXTRAS = (
    *(
        "paddle",
        "visualdl",
        "matplotlib",
    ),
    *("openvino", "onnx", "paddle2onnx", "onnxslim", "onnx_graphsurgeon", "paddleslim"),
    *("fastapi", "uvicorn", "prometheus_client"),
)


def test_predict_needs_no_extra(run_script, model_dir, crowd, tmp_path):
    import cv2

    cv2.imwrite(str(tmp_path / "people.png"), crowd[0][..., ::-1])
    command = ["predict", "--model_dir", model_dir, "--image_file", tmp_path / "people.png", "--save_json"]
    command = [*map(str, command), "--runtime", "onnxruntime", "--output_dir"]
    alone = MISSING.format(names=", ".join(map(repr, EXTRAS)))
    for folder, before in (("alone", alone), ("full", "")):
        arguments = ["ppose", *command, str(tmp_path / folder)]
        result = run_script(
            "-c", f"{before}\nimport sys\nsys.argv = {arguments}\nimport ppose.cli\nppose.cli.main()"
        )
        assert result.returncode == 0, result.stderr
    found = [(tmp_path / folder / "keypoints.json").read_text() for folder in ("alone", "full")]
    assert found[0] == found[1]
    assert '"keypoints"' in found[0]


def test_a_predictor_needs_no_extra(run_script, model_dir):
    result = run_script(
        "-c",
        f"""{MISSING.format(names=", ".join(map(repr, EXTRAS)))}
import numpy as np
import ppose
(pose,) = ppose.Predictor.from_dir({str(model_dir)!r})(np.zeros((96, 64, 3), np.uint8))
assert pose.keypoints.shape == (2, 2)""",
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(("name", "extras"), [("paddle", "[paddle,train]"), ("filelock", "")])
def test_a_missing_package_is_one_line(run_script, coco_folder, name, extras):
    data = data_overrides(coco_folder, ["EvalDataset"])
    weights = "weights=http://127.0.0.1:9/a.pdparams"  # which would be downloaded
    arguments = ["ppose", "eval", "-c", "tinypose_128x96", "-o", weights, *data]
    result = run_script(
        "-c",
        MISSING.format(names=f"{name!r},") + f"sys.argv = {arguments}\nimport ppose.cli\nppose.cli.main()",
    )
    assert result.returncode == 1
    expected = f"error: {name} is needed and not installed: pip install 'ppose{extras}'"
    assert result.stderr.splitlines()[-1] == expected
    assert "Traceback" not in result.stderr
