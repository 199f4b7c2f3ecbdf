"""The commands from end to end on small data of the tests' own."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from runs import data_overrides

import ppose
from ppose.engine.task import Task
from ppose.weights.checkpoint import save_weights
from ppose.workspace import load_config

CONFIG = "configs/tinypose_128x96.yml"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    file = tmp_path_factory.mktemp("weights") / "model_final.pdparams"
    save_weights(Task(load_config(CONFIG)).model(), file)
    return file


def test_eval_prints_a_table_and_writes_json(run_tool, coco_folder, weights, tmp_path):
    result = run_tool(
        "tools/eval.py", "-c", CONFIG, "--json", tmp_path / "m.json",
        "-o", *data_overrides(coco_folder, ["EvalDataset"]), f"weights={weights.parent}",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "own boxes" in result.stdout
    metrics = json.loads((tmp_path / "m.json").read_text())
    assert {"AP", "AP50", "AP75", "APm", "APl", "AR"} <= metrics.keys()
    assert all(isinstance(value, float) for value in metrics.values())


def test_prediction_only_needs_no_annotations(run_tool, coco_folder, weights, tmp_path):
    content = json.loads((coco_folder / "annotations.json").read_text())
    del content["annotations"]
    (coco_folder / "annotations.json").write_text(json.dumps(content))
    boxes = [{"image_id": i, "category_id": 1, "bbox": [10, 10, 50, 90], "score": 0.8} for i in (1, 3)]
    (coco_folder / "boxes.json").write_text(json.dumps(boxes))
    result = run_tool(
        "tools/eval.py", "-c", CONFIG, "--save_prediction_only", "--output_eval", tmp_path / "out",
        "-o", *data_overrides(coco_folder, ["EvalDataset"]), f"weights={weights}",
        "EvalDataset.use_gt_bbox=false", "EvalDataset.bbox_file=boxes.json", "TopDownHRNet.flip=false",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    results = json.loads((tmp_path / "out" / "keypoints_results.json").read_text())
    assert sorted(r["image_id"] for r in results) == [1, 3]
    assert all(r["category_id"] == 1 and len(r["keypoints"]) == 51 and 0 <= r["score"] <= 1 for r in results)


def test_own_keypoints_need_only_a_block_in_the_config(run_tool, write_coco, tmp_path):
    """Three keypoints, another category, a skeleton by names: perfect predictions would give AP 1."""
    folder = write_coco(tmp_path / "coco", keypoints=3)
    content = json.loads((folder / "annotations.json").read_text())
    for annotation in content["annotations"]:
        annotation["category_id"] = 7
    (folder / "annotations.json").write_text(json.dumps(content))
    config = tmp_path / "own.yml"
    config.write_text(
        f"""
_BASE_: {Path(CONFIG).resolve()}
num_joints: 3
KeypointSet:
  name: arrow
  names: [tip, left, right]
  flip_pairs: [[left, right]]
  skeleton: [[tip, left], [tip, right]]
  sigmas: [0.05, 0.05, 0.05]
"""
    )
    save_weights(Task(load_config(config)).model(), tmp_path / "own.pdparams")
    result = run_tool(
        "tools/eval.py", "-c", config, "--json", tmp_path / "m.json",
        "-o", *data_overrides(folder, ["EvalDataset"]), f"weights={tmp_path}/own.pdparams",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert json.loads((tmp_path / "m.json").read_text())["AP"] >= 0  # not -1: there are people to find
    result = run_tool(
        "tools/infer.py", "-c", config, "--infer_dir", folder / "images", "--output_dir", tmp_path / "vis",
        "-o", f"weights={tmp_path}/own.pdparams",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert all(
        len(p["keypoints"]) == 9 for p in json.loads((tmp_path / "vis" / "keypoints.json").read_text())
    )


def test_infer_with_boxes_and_on_whole_images(run_tool, coco_folder, weights, tmp_path):
    boxes = [
        {"image": "000000000001.jpg", "bbox": [10, 10, 50, 90]},
        {"image_id": 3, "bbox": [70, 10, 50, 90]},
        {"image_id": 3, "bbox": [10, 10, 50, 90]},
    ]
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    run = ["tools/infer.py", "-c", CONFIG, "--infer_dir", coco_folder / "images", "--draw_threshold", "0"]
    with_boxes = run_tool(
        *run, "--boxes", tmp_path / "boxes.json", "--output_dir", tmp_path / "a", "-o", f"weights={weights}"
    )
    assert with_boxes.returncode == 0, with_boxes.stderr
    poses = json.loads((tmp_path / "a" / "keypoints.json").read_text())
    assert [(p["image"], p["bbox"][0]) for p in poses] == [
        ("000000000001.jpg", 10), ("000000000003.jpg", 70), ("000000000003.jpg", 10),
    ]  # fmt: skip
    assert all(p["image_id"] == int(p["image"][:12]) and len(p["keypoints"]) == 51 for p in poses)
    original = cv2.imread(str(coco_folder / "images" / "000000000003.jpg")).astype(int)
    drawn = cv2.imread(str(tmp_path / "a" / "000000000003.jpg"))
    assert drawn.shape == original.shape
    assert np.abs(drawn - original).mean() > 1
    far = [{"image_id": 1, "bbox": [0, 0, 1e12, 1e12]}, {"image_id": 1, "bbox": [1, 1, -5, 9]}]
    (tmp_path / "far.json").write_text(json.dumps(far))
    strange = run_tool(
        *run, "--boxes", tmp_path / "far.json", "--output_dir", tmp_path / "c", "-o", f"weights={weights}"
    )
    assert strange.returncode == 0, strange.stderr
    assert "1 of 2 boxes left out: 1 smaller than a pixel" in strange.stderr
    annotations = coco_folder / "annotations.json"
    as_annotated = run_tool(
        *run, "--boxes", annotations, "--output_dir", tmp_path / "d", "-o", f"weights={weights}"
    )
    assert as_annotated.returncode == 0, as_annotated.stderr
    assert len(json.loads((tmp_path / "d" / "keypoints.json").read_text())) == 9  # no crowds
    whole = run_tool(*run, "--output_dir", tmp_path / "b", "-o", f"weights={weights}")
    assert whole.returncode == 0, whole.stderr
    assert len(json.loads((tmp_path / "b" / "keypoints.json").read_text())) == 3


def test_load_model_gives_the_commands_network(weights):
    model = ppose.load_model(CONFIG, weights)
    assert not model.training
    import paddle

    image = paddle.to_tensor(np.random.default_rng(0).standard_normal((2, 3, 128, 96)).astype("float32"))
    before = image.numpy().copy()
    assert model(image).shape == [2, 17, 32, 24]
    np.testing.assert_array_equal(image.numpy(), before)
    again = ppose.load_model(CONFIG, str(weights.parent))
    np.testing.assert_array_equal(again(image).numpy(), model(image).numpy())
