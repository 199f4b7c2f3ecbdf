"""infer_cfg.yml alone is enough: the program of docs/infer_cfg.md gives the predictor's keypoints."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from ppose.codecs import MSRAHeatmap, UDPHeatmap
from ppose.inference.model_folder import read_model_folder, write_infer_cfg
from ppose.inference.predictor import Predictor
from ppose.inference.spec_in_words import describe_spec
from ppose.transforms import read_image

ROOT = Path(__file__).resolve().parents[2]
SIZES = ((64, 96), (16, 24))
MEANS = {"mean": [0.1, 0.2, 0.3], "std": [1, 0.9, 0.8]}
UDP_WARP = {"trainsize": [64, 96], "use_udp": True}


@pytest.fixture(scope="module")
def find_keypoints():
    """The program as the page has it, with nothing of ours."""
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "infer_cfg.md").read_text(), re.DOTALL)
    assert "ppose" not in code
    assert len([line for line in code.splitlines() if line.strip()]) <= 46
    scope = {}
    exec(code, scope)
    return scope["find_keypoints"]


def compare(find_keypoints, folder, image, boxes):
    poses = Predictor.from_dir(folder, runtime="onnxruntime", cpu_threads=1)(image, boxes)
    for pose, (left, top, right, bottom) in zip(poses, boxes, strict=True):
        points, scores = find_keypoints(folder, image, [left, top, right - left, bottom - top])
        np.testing.assert_allclose(points, pose.keypoints, atol=0.01)
        np.testing.assert_allclose(scores, pose.scores, atol=1e-4)


@pytest.mark.parametrize("sigma", [0.8, 1, 1.5, 2, 3])
@pytest.mark.parametrize("kind", ["quarter", "dark", "udp"])
def test_the_program_finds_the_predictors_keypoints(find_keypoints, model_dir, crowd, tmp_path, kind, sigma):
    folder = replace(read_model_folder(model_dir), path=tmp_path)
    shutil.copy(model_dir / "model.onnx", tmp_path)
    peak = 0.5 if kind == "quarter" else 1.0
    codec = MSRAHeatmap(*SIZES, sigma=sigma, use_dark=kind == "dark", peak=peak)
    spec = replace(folder.spec, codec=codec)
    if kind == "udp":
        name = "TopDownAffine" if sigma > 2 else "TopDownEvalAffine"  # with a box they are one
        spec = replace(spec, codec=UDPHeatmap(*SIZES, sigma=sigma), sample_transforms=[{name: UDP_WARP}])
        assert any("0 and 63, 0 and 95 (UDP)" in sentence for sentence in describe_spec(spec))
    onnx = {"model.onnx": folder.files["model.onnx"]}
    write_infer_cfg(replace(folder, spec=spec, files=onnx))
    image, _, boxes = crowd
    rng = np.random.default_rng(0)
    image = np.clip(image + rng.integers(-20, 20, image.shape), 0, 255).astype(np.uint8)
    # Also boxes that reach out of the image, wide ones, and some without what the network looks for.
    corners = rng.uniform((-30, -40), (200, 150), (6, 2))
    more = np.concatenate([corners, corners + rng.uniform((30, 40), (150, 160), (6, 2))], axis=1)
    compare(find_keypoints, tmp_path, image, np.concatenate([boxes, more]))


@pytest.mark.parametrize("peak", [1, 255])
def test_channels_in_the_other_order(find_keypoints, model_dir, crowd, tmp_path, peak):
    """What is red for the network is blue then; mean and std go with the channels, which may be bytes."""
    shutil.copy(model_dir / "model.onnx", tmp_path)
    folder = replace(read_model_folder(model_dir), path=tmp_path)
    normalize = {"mean": [10, 20, 30], "is_scale": False} if peak > 1 else MEANS
    spec = replace(
        folder.spec,
        channel_order="bgr",
        codec=MSRAHeatmap(*SIZES, use_dark=True, peak=peak),
        batch_transforms=[{"NormalizeImage": normalize}, {"Permute": {}}],
    )
    write_infer_cfg(replace(folder, spec=spec, files={"model.onnx": folder.files["model.onnx"]}))
    compare(find_keypoints, tmp_path, crowd[0], crowd[2])
    assert "channels blue, green, red" in (tmp_path / "infer_cfg.yml").read_text().replace("\n ", "")


@pytest.mark.heavy
def test_real_weights_on_real_people(find_keypoints, run_script, reference, tmp_path):
    name = "tinypose_128x96"
    result = run_script(
        "tools/export_model.py", "-c", name, "--format", "onnx", "--output_dir", tmp_path, "--flip_test",
        "--fuse_normalize", "--batch", "2", "-o",
        f"weights={reference / 'data' / 'weights' / f'{name}.pdparams'}",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    data = reference / "data" / "coco_dev"
    content = json.loads((data / "annotations" / "person_keypoints.json").read_text())
    files = {image["id"]: image["file_name"] for image in content["images"]}
    people = [person for person in content["annotations"] if person["num_keypoints"] > 5][:12]
    for person in people:
        x, y, w, h = person["bbox"]
        image = read_image(data / "images" / files[person["image_id"]])
        compare(find_keypoints, tmp_path / name, image, [[x, y, x + w, y + h]])


def test_it_explains_its_numbers_in_words(model_dir):
    text = (model_dir / "infer_cfg.yml").read_text()
    cfg = yaml.safe_load(text)
    assert (cfg["input_name"], cfg["output_name"]) == ("image", "heatmaps")
    assert cfg["channel_order"] == "rgb"
    assert cfg["box_padding"] == 1.25
    assert cfg["stride"] == [4.0, 4.0]
    words = " ".join(cfg["in_words"])
    for said in (
        "to the ratio 64:96, then both by 1.25",
        "tensor image, (N, 3, 96, 64) float32; channels red, green, blue",
        "tensor heatmaps, (N, 2, 24, 16) float32",
        "no flip test",
        "its middle goes to (32, 48)",
        "(byte / 255 - [0, 0, 0]) / [1, 1, 1], channels first",
        "1/4 pixel to the higher neighbour",
        "multiply by (4, 4) to get input pixels",
    ):
        assert said in words


def test_older_files_are_read_as_before(model_dir, tmp_path):
    folder = shutil.copytree(model_dir, tmp_path / "old")
    cfg = yaml.safe_load((folder / "infer_cfg.yml").read_text())
    for key in ("input_name", "output_name", "stride", "in_words", "channel_order", "box_padding"):
        del cfg[key]
    (folder / "infer_cfg.yml").write_text(yaml.safe_dump(cfg))
    assert read_model_folder(folder) == replace(read_model_folder(model_dir), path=folder)


def test_every_key_is_explained(model_dir):
    page = (ROOT / "docs" / "infer_cfg.md").read_text()
    for key in yaml.safe_load((model_dir / "infer_cfg.yml").read_text()):
        assert f"`{key}`" in page or key in ("name", "weights_sha256", "quantization_sha256"), key
