"""Real weights on real images: the numbers of the design, and the boxes that a table says it used."""

import json
from pathlib import Path

import cv2
import numpy as np
import paddle
import pytest
from paddle.nn.quant.quant_layers import QuantizedConv2D

from ppose import load_model
from ppose.quantization.qat import convert_qat

ROOT = Path(__file__).resolve().parents[2]
RECIPE = [
    "batch_size=8", "epoch=1", "use_ema=true", "ema_decay=0.9",
    "LearningRate.schedulers=[{CosineDecay: {max_epochs: 1}}, {LinearWarmup: {steps: 5}}]",
]  # fmt: skip


def evaluate(run_tool, reference, tmp_path, config, data, *options):
    weights = reference / "data" / "weights" / f"{config}.pdparams"
    result = run_tool(
        "tools/eval.py", "-c", f"configs/{config}.yml", "--json", tmp_path / "metrics.json",
        "-o", f"weights={weights}", *data, *options,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return json.loads((tmp_path / "metrics.json").read_text()), result.stdout


def coco_dev(reference):
    return [
        f"EvalDataset.dataset_dir={reference}/data/coco_dev", "EvalDataset.image_dir=images",
        "EvalDataset.anno_path=annotations/person_keypoints.json",
    ]  # fmt: skip


# AP of ../shared/design.md: own boxes, no flip test, quarter-pixel decoding, OpenCV 5.
@pytest.mark.parametrize(
    ("config", "expected"),
    [("tinypose_128x96", 0.5258), pytest.param("tinypose_256x192", 0.6321, marks=pytest.mark.heavy)],
)
def test_ap_of_real_weights_on_coco_dev(run_tool, reference, tmp_path, config, expected):
    data = coco_dev(reference)
    plain = ["TopDownHRNet.flip=false", "TopDownHRNet.use_dark=false"]
    metrics, printed = evaluate(run_tool, reference, tmp_path, config, data, *plain)
    assert metrics["AP"] == pytest.approx(expected, abs=0.002)
    assert "own boxes" in printed


def test_detected_boxes_of_coco_det(run_tool, reference, tmp_path):
    data = [
        f"EvalDataset.dataset_dir={reference}/data/coco_det", "EvalDataset.image_dir=.",
        "EvalDataset.anno_path=test_coco.json", "EvalDataset.use_gt_bbox=false",
        "EvalDataset.bbox_file=test_coco_det_AP_H_56.json",
    ]  # fmt: skip
    metrics, printed = evaluate(run_tool, reference, tmp_path, "tinypose_128x96", data)
    assert "detected boxes" in printed
    assert metrics["AP"] > 0.6


@pytest.fixture
def parts_of_coco_dev(reference, tmp_path):
    """Overrides: 40 real images to train on, 26 others to evaluate."""
    data = reference / "data" / "coco_dev"
    content = json.loads((data / "annotations" / "person_keypoints.json").read_text())
    content["images"].sort(key=lambda image: image["id"])
    for name, images in (("train", content["images"][:40]), ("val", content["images"][100:])):
        ids = {image["id"] for image in images}
        people = [person for person in content["annotations"] if person["image_id"] in ids]
        (tmp_path / f"{name}.json").write_text(
            json.dumps({**content, "images": images, "annotations": people})
        )
    return [
        f"{key}Dataset.{name}={value}"
        for key, file in (("Train", "train"), ("Eval", "val"))
        for name, value in (
            ("dataset_dir", data), ("image_dir", "images"), ("anno_path", tmp_path / f"{file}.json")
        )
    ]  # fmt: skip


@pytest.mark.heavy
def test_fine_tuning_ruins_nothing(run_tool, reference, parts_of_coco_dev, tmp_path):
    """Of the published PP-TinyPose on 40 real images; AP of 72 people on the 26 others varies by a point."""
    places = parts_of_coco_dev
    before, _ = evaluate(run_tool, reference, tmp_path, "tinypose_128x96", places)
    result = run_tool(
        "tools/train.py", "-c", "configs/tinypose_128x96.yml", "--eval",
        "--weights", reference / "data" / "weights" / "tinypose_128x96.pdparams",
        "-o", *places, f"save_dir={tmp_path}", "batch_size=16", "epoch=2", "snapshot_epoch=2", "use_ema=true",
        "ema_decay=0.9", "LearningRate.base_lr=0.00005",
        "LearningRate.schedulers=[{CosineDecay: {max_epochs: 2}}, {LinearWarmup: {steps: 5}}]",
        timeout=900,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    after = json.loads((tmp_path / "tinypose_128x96" / "result" / "metrics.json").read_text())
    assert after["AP"] >= before["AP"] - 0.03, (before["AP"], after["AP"])


@pytest.mark.heavy
def test_eight_bits_stay_near_the_ap_of_float(run_tool, reference, parts_of_coco_dev, tmp_path):
    """PP-TinyPose trained a little with PACT, from weights whose batch norms are folded.

    docs/benchmarks.md has what other seeds and other parts of the images gave.
    """
    before, _ = evaluate(run_tool, reference, tmp_path, "tinypose_256x192", parts_of_coco_dev)
    result = run_tool(
        "tools/train.py", "-c", "configs/tinypose_256x192_pact.yml", "--eval",
        "--weights", reference / "data" / "weights" / "tinypose_256x192.pdparams",
        "-o", *parts_of_coco_dev, f"save_dir={tmp_path}", *RECIPE,
        timeout=900,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "96 convolutions in int8 with PACT" in result.stderr
    assert "scipy" not in result.stdout + result.stderr
    folder = tmp_path / "tinypose_256x192_pact"
    after = json.loads((folder / "result" / "metrics.json").read_text())
    assert after["AP"] >= before["AP"] - 0.010, (before["AP"], after["AP"])
    assert_converts(folder / "best_model.pdparams", reference / "data" / "coco_dev" / "images")


def assert_converts(weights, images):
    """Each convolution of the plain network gives what the trained one gives, but for single roundings.

    The heatmaps are no measure: noise of 1e-7 on the trained network's own maps moves them by 6 %.
    """
    model = load_model(ROOT / "configs" / "tinypose_256x192_pact.yml", weights)
    converted = dict(convert_qat(model).named_sublayers())
    errors = []

    def compare(name, given, output):
        errors.append(float((converted[name](given) - output).norm() / output.norm()))

    for name, layer in model.named_sublayers():
        if isinstance(layer, QuantizedConv2D):
            layer.register_forward_post_hook(lambda _, x, y, name=name: compare(name, x[0], y))
    files = sorted(images.glob("*.jpg"))[:4]
    pictures = np.stack([cv2.resize(cv2.imread(str(file)), (192, 256)) for file in files])
    with paddle.no_grad():
        model(paddle.to_tensor(((pictures - 116) / 58).transpose(0, 3, 1, 2).astype(np.float32)))
    assert len(errors) == 96
    assert max(errors) < 1e-3
