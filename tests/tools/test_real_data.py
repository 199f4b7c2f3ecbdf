"""Real weights on real images: the numbers of the design, and the boxes that a table says it used."""

import json

import pytest


def evaluate(run_script, reference, tmp_path, config, data, *options):
    weights = reference / "data" / "weights" / f"{config}.pdparams"
    result = run_script(
        "tools/eval.py", "-c", f"configs/{config}.yml", "--json", tmp_path / "metrics.json",
        "-o", f"weights={weights}", *data, *options,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return json.loads((tmp_path / "metrics.json").read_text()), result.stdout


# AP of ../shared/design.md: own boxes, no flip test, quarter-pixel decoding, OpenCV 5.
@pytest.mark.parametrize(
    ("config", "expected"),
    [("tinypose_128x96", 0.5179), pytest.param("tinypose_256x192", 0.6336, marks=pytest.mark.heavy)],
)
def test_ap_of_real_weights_on_coco_dev(run_script, reference, tmp_path, config, expected):
    data = [
        f"EvalDataset.dataset_dir={reference}/data/coco_dev", "EvalDataset.image_dir=images",
        "EvalDataset.anno_path=annotations/person_keypoints.json",
    ]  # fmt: skip
    plain = ["TopDownHRNet.flip=false", "TopDownHRNet.use_dark=false"]
    metrics, printed = evaluate(run_script, reference, tmp_path, config, data, *plain)
    assert metrics["AP"] == pytest.approx(expected, abs=0.002)
    assert "own boxes" in printed


def test_detected_boxes_of_coco_det(run_script, reference, tmp_path):
    data = [
        f"EvalDataset.dataset_dir={reference}/data/coco_det", "EvalDataset.image_dir=.",
        "EvalDataset.anno_path=test_coco.json", "EvalDataset.use_gt_bbox=false",
        "EvalDataset.bbox_file=test_coco_det_AP_H_56.json",
    ]  # fmt: skip
    metrics, printed = evaluate(run_script, reference, tmp_path, "tinypose_128x96", data)
    assert "detected boxes" in printed
    assert metrics["AP"] > 0.6
