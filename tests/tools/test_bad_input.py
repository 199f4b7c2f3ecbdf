"""What users do wrong ends with one clear line and a non-zero exit, never with a traceback."""

import json
import os
import pickle

import pytest
import runs

from ppose.engine.task import Task
from ppose.weights.checkpoint import save_weights
from ppose.workspace import load_config

CONFIG = "configs/tinypose_128x96.yml"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Checkpoints, untrained, of the config's network and of another."""
    folder = tmp_path_factory.mktemp("weights")
    for name, config in (("own", CONFIG), ("other", "configs/lite_hrnet_18_256x192_coco.yml")):
        save_weights(Task(load_config(config)).model(), folder / f"{name}.pdparams")
    return folder


@pytest.fixture
def data(coco_folder):
    return [
        f"EvalDataset.dataset_dir={coco_folder}", "EvalDataset.image_dir=images",
        "EvalDataset.anno_path=annotations.json", "worker_num=0",
    ]  # fmt: skip


def assert_one_line(result, *expected):
    assert result.stdout == ""
    runs.assert_one_line(result, *expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, ["config file not found: ", "bad.yml"]),
        ("a: [1\nb: 2", ["bad.yml:2: not valid YAML"]),
        ("TopDownHRNet: {backbon: HRNet}", ["bad.yml:2: TopDownHRNet.backbon: unknown key", "'backbone'"]),
        ("LiteHRNet: {network_type: wide}", ["bad.yml:2: LiteHRNet.network_type: got 'wide'", "lite_18"]),
        ("HRNet: {width: wide}", ["bad.yml:2: HRNet.width: got 'wide', expected int"]),
        ("architecture: TopDownHRNt", ["bad.yml:2: architecture: unknown component", "'TopDownHRNet'"]),
    ],
)
def test_bad_configs(run_tool, tmp_path, text, expected):
    file = tmp_path / "bad.yml"
    if text is not None:
        file.write_text(f"_BASE_: {os.path.abspath(CONFIG)}\n{text}" if "[" not in text else text)
    assert_one_line(run_tool("tools/eval.py", "-c", file), *expected)


def test_bad_override(run_tool):
    result = run_tool("tools/eval.py", "-c", CONFIG, "-o", "TopDownHRNet.use_drak=true")
    assert_one_line(result, "TopDownHRNet.use_drak", "did you mean 'use_dark'?")


def test_gpu_that_is_not_there(run_tool):
    assert_one_line(run_tool("tools/eval.py", "-c", CONFIG, "-o", "use_gpu=true"), "use_gpu is true, but")


def _shorten(folder):
    whole = (folder / "own.pdparams").read_bytes()
    (folder / "short.pdparams").write_bytes(whole[: len(whole) // 2])


class _Evil:
    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("other.pdparams", ["other.pdparams", "another network"]),
        ("short.pdparams", ["short.pdparams"]),
        ("none.pdparams", ["none.pdparams"]),
        ("http://127.0.0.1:9/x.pdparams", ["http://127.0.0.1:9/x.pdparams"]),
    ],
)
def test_bad_weights(run_tool, weights, data, name, expected):
    _shorten(weights)
    source = name if "://" in name else weights / name
    assert_one_line(run_tool("tools/eval.py", "-c", CONFIG, "-o", *data, f"weights={source}"), *expected)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["metric=KeyPointTopDownMPIIEval"], ["KeyPointTopDownMPIIEval is for MPII"]),
        (["metric=foo"], ["metric: unknown component 'foo'", "KeyPointTopDownCOCOEval"]),
        (["worker_num=-1"], ["worker_num is -1"]),
        (["EvalReader.batch_size=0"], ["batch_size is 0"]),
        (
            ["EvalReader.drop_last=true"],
            ["EvalReader: shuffle, drop_last and batch_size auto are for training"],
        ),
        (["EvalReader.batch_transforms=[Permute]"], ["NormalizeImage and Permute"]),
        (["trainsize=[90,128]"], ["trainsize is [90, 128]", "multiples of 32"]),
        (["weights=."], ["no model_final.pdparams in the folder ."]),
        (["weights=http://[x/a.pdparams"], ["http://[x/a.pdparams"]),
        (["num_joints=5"], ["num_joints is 5", "KeypointSet block"]),
    ],
)
def test_other_mistakes(run_tool, weights, data, overrides, expected):
    own = f"weights={weights}/own.pdparams"
    assert_one_line(run_tool("tools/eval.py", "-c", CONFIG, "-o", *data, own, *overrides), *expected)


def test_json_into_a_folder_is_an_error_before_the_work(run_tool, data, tmp_path):
    result = run_tool("tools/eval.py", "-c", CONFIG, "--json", tmp_path, "-o", *data, "weights=none")
    assert_one_line(result, "this is a folder")


def test_a_checkpoint_that_would_run_a_command_does_not(run_tool, data, tmp_path):
    trace = tmp_path / "it_ran"
    (tmp_path / "evil.pdparams").write_bytes(pickle.dumps({"w": _Evil(f"touch {trace}")}))
    result = run_tool("tools/eval.py", "-c", CONFIG, "-o", *data, f"weights={tmp_path}/evil.pdparams")
    assert_one_line(result, "evil.pdparams", "system")
    assert not trace.exists()


def test_truncated_image(run_tool, weights, data, coco_folder):
    image = coco_folder / "images" / "000000000002.jpg"
    image.write_bytes(image.read_bytes()[:500])
    for workers in (0, 2):
        result = run_tool(
            "tools/eval.py",
            "-c",
            CONFIG,
            "-o",
            *data,
            f"worker_num={workers}",
            f"weights={weights}/own.pdparams",
        )
        assert_one_line(result, "000000000002.jpg")


def test_annotations_without_keypoints(run_tool, data, coco_folder):
    file = coco_folder / "annotations.json"
    content = json.loads(file.read_text())
    for annotation in content["annotations"]:
        del annotation["keypoints"]
    file.write_text(json.dumps(content))
    assert_one_line(run_tool("tools/eval.py", "-c", CONFIG, "-o", *data), "annotations.json", "keypoints")


def test_detections_of_other_images(run_tool, data, tmp_path):
    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps([{"image_id": 99, "category_id": 1, "bbox": [1, 2, 30, 40], "score": 1}]))
    overrides = [*data, "EvalDataset.use_gt_bbox=false", f"EvalDataset.bbox_file={boxes}"]
    assert_one_line(run_tool("tools/eval.py", "-c", CONFIG, "-o", *overrides), "boxes.json", "such as 99")


def test_images_to_infer(run_tool, weights, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    own = f"weights={weights}/own.pdparams"
    for arguments, expected in (
        (["--infer_dir", empty], ["no image in"]),
        (["--infer_dir", tmp_path / "none"], ["image folder not found"]),
        (["--infer_img", tmp_path / "none.jpg"], ["image not found", "none.jpg"]),
        (
            ["--infer_img", tmp_path / "a.jpg", "--boxes", tmp_path / "none.json"],
            ["box file (--boxes, bbox_file) not found"],
        ),
        (["--infer_img", tmp_path / "a.jpg", "--output_dir", tmp_path], ["holds the images themselves"]),
    ):
        assert_one_line(run_tool("tools/infer.py", "-c", CONFIG, *arguments, "-o", own), *expected)


def test_an_image_that_cannot_be_read_does_not_cost_the_others(run_tool, weights, coco_folder, tmp_path):
    image = coco_folder / "images" / "000000000002.jpg"
    image.write_bytes(image.read_bytes()[:500])
    result = run_tool(
        "tools/infer.py", "-c", CONFIG, "--infer_dir", image.parent, "--output_dir", tmp_path / "out",
        "--boxes", coco_folder / "annotations.json", "-o", f"weights={weights}/own.pdparams",
    )  # fmt: skip
    assert "6 people in 2 images" in result.stdout
    runs.assert_one_line(result, "1 of 3 images were skipped: image is truncated:")
    others = ["000000000001.jpg", "000000000003.jpg"]
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [*others, "keypoints.json"]
    poses = json.loads((tmp_path / "out" / "keypoints.json").read_text())
    assert [pose["image"] for pose in poses] == [name for name in others for _ in range(3)]


def test_an_output_folder_that_cannot_be_made(run_tool, weights, coco_folder, tmp_path):
    (tmp_path / "file").write_text("")
    image = coco_folder / "images" / "000000000001.jpg"
    result = run_tool(
        "tools/infer.py", "-c", CONFIG, "--infer_img", image, "--output_dir", tmp_path / "file" / "out",
        "-o", f"weights={weights}/own.pdparams",
    )  # fmt: skip
    assert_one_line(result, "Not a directory")
