"""MPII through the commands: the best model by PCKh, and what is said of missing files."""

import json

import numpy as np
import pytest
from runs import assert_one_line
from scipy.io import savemat

from ppose.engine.calibration import make_sampled_ap
from ppose.engine.task import Task
from ppose.errors import ConfigError, DataError
from ppose.workspace import load_config

CONFIG = """
_BASE_: [_base_/coco_topdown.yml, _base_/pose_resnet.yml]
num_joints: 16
keypoint_set: mpii16
metric: KeyPointTopDownMPIIEval
trainsize: [64, 64]
hmsize: [16, 16]
batch_size: 2
pretrain_weights: null
PoseResNet: {depth: 10, width: 8, deconv_channels: 8}
TrainDataset: &data !KeypointTopDownMPIIDataset {dataset_dir: DATA, image_dir: images, anno_path: mpii.json}
EvalDataset: *data
epoch: 2
snapshot_epoch: 1
worker_num: 0
use_vdl: false
save_dir: OUT
weights: OUT/mpii/best_model
"""


@pytest.fixture
def checkout(reference, tmp_path):
    """MPII's five images with HRNet's JSON and a file of head boxes, and a config of a small network."""
    entries = json.loads((reference / "data" / "mpii" / "test_mpii.json").read_bytes())
    (tmp_path / "mpii.json").write_text(json.dumps(entries))
    (tmp_path / "images").symlink_to(reference / "data" / "mpii")
    heads = np.array([[entry["center"], np.add(entry["center"], 150)] for entry in entries])
    truth = {
        "pos_gt_src": np.moveaxis([entry["joints"] for entry in entries], 0, -1),
        "jnt_missing": 1 - np.array([entry["joints_vis"] for entry in entries]).T,
        "headboxes_src": np.moveaxis(heads, 0, -1),
    }
    savemat(tmp_path / "gt_valid.mat", truth)
    text = CONFIG.replace("DATA", str(tmp_path)).replace("OUT", str(tmp_path / "out"))
    (tmp_path / "mpii.yml").write_text(text)
    return tmp_path


def test_training_keeps_the_best_by_pckh(run_tool, checkout):
    result = run_tool("tools/train.py", "-c", checkout / "mpii.yml", "--eval")
    assert result.returncode == 0, result.stderr
    assert "; best PCKh@0.5 " in result.stdout
    assert ": PCKh@0.5 " in result.stdout
    folder = checkout / "out" / "mpii"
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    found = [line["PCKh@0.5"] for line in lines if "PCKh@0.5" in line]
    assert len(found) == 2
    result = run_tool("tools/eval.py", "-c", checkout / "mpii.yml", "--json", checkout / "m.json")
    assert result.returncode == 0, result.stderr
    assert "PCKh@0.1 as the official code prints it" in result.stdout
    metrics = json.loads((checkout / "m.json").read_text())
    assert metrics["PCKh@0.5"] == pytest.approx(max(found), abs=1e-4)
    assert {"Head", "Ankle", "PCKh@0.1"} <= metrics.keys()
    people = json.loads((folder / "result" / "keypoints_results.json").read_text())
    assert len(people) == 5
    assert len(people[0]["keypoints"]) == 48


def test_a_part_of_the_people_is_measured_for_quantization(checkout):
    task = Task(load_config(checkout / "mpii.yml"))
    assert 0 <= make_sampled_ap(task, 3)(task.model()) <= 100


def test_missing_files_are_one_line(run_tool, checkout):
    (checkout / "gt_valid.mat").rename(checkout / "other.mat")
    result = run_tool("tools/train.py", "-c", checkout / "mpii.yml", "--eval")
    assert_one_line(result, "mpii.json has no head boxes", "set KeyPointTopDownMPIIEval.truth_file")
    other = f"+KeyPointTopDownMPIIEval.truth_file={checkout / 'mpii.json'}"
    task = Task(load_config(checkout / "mpii.yml", [other]))
    with pytest.raises(DataError, match=r"mpii\.json: not a MATLAB file that can be read"):
        task.metric(task.dataset("EvalDataset"))
    with pytest.raises(ConfigError, match="the metric KeyPointTopDownMPIIEval has no option nms"):
        task.metric(task.dataset("EvalDataset"), nms=None)


def test_the_published_config_builds_unchanged(reference):
    file = reference / "reference/configs/paddledetection/hrnet_w32_256x256_mpii.yml"
    task = Task(load_config(file))
    assert task.keypoint_set.name == "mpii16"
    assert task.settings.headline[0] == "PCKh@0.5"
    assert task.model().final_conv.weight.shape[0] == 16
    changes = [
        f"{key}Dataset.{name}={value}"
        for key in ("Train", "Eval")
        for name, value in (("dataset_dir", reference / "data/mpii"), ("image_dir", "''"))
    ]
    changes += [f"{key}Dataset.anno_path=test_mpii.json" for key in ("Train", "Eval")]
    task = Task(load_config(file, changes))
    assert len(task.dataset("TrainDataset")) == 5
    batches = task.reader("TrainReader").batches(task.dataset("TrainDataset"), workers=0)
    batch = next(iter(batches))
    assert batch["image"].shape == [5, 3, 256, 256]
    assert batch["heatmaps"].shape == [5, 16, 64, 64]
