"""tools/export_model.py and tools/eval.py --model_dir as commands."""

import json

import pytest
from runs import assert_one_line, data_overrides

from ppose.engine.task import Task
from ppose.weights.checkpoint import save_weights
from ppose.workspace import load_config

CONFIG = "configs/lite_hrnet_18_256x192_coco.yml"
NAME = "lite_hrnet_18_256x192_coco"
SMALL = ["trainsize=[64,64]", "hmsize=[16,16]", "LiteHRNet.network_type=lite_8", "worker_num=0"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    file = tmp_path_factory.mktemp("weights") / "model_final.pdparams"
    save_weights(Task(load_config(CONFIG, SMALL)).model(), file)
    return file


def test_an_exported_model_is_evaluated(run_tool, coco_folder, weights, tmp_path):
    exported = run_tool(
        "tools/export_model.py", "-c", CONFIG, "--output_dir", tmp_path, "--batch", "4",
        "-o", *SMALL, f"weights={weights}",
    )  # fmt: skip
    assert exported.returncode == 0, exported.stderr
    assert f"{tmp_path / NAME}: model.json, model.pdiparams, infer_cfg.yml" in exported.stdout
    assert "operators: trained " in exported.stdout
    evaluate = ["tools/eval.py", "-c", CONFIG, "--model_dir", tmp_path / NAME]
    data = [*SMALL, *data_overrides(coco_folder, ["EvalDataset"])]
    # Six people make a whole batch of four and a part of one.
    result = run_tool(
        *evaluate, "--save_prediction_only", "--output_eval", tmp_path / "exported", "-o", *data
    )
    assert result.returncode == 0, result.stderr
    result = run_tool(
        "tools/eval.py", "-c", CONFIG, "--save_prediction_only", "--output_eval", tmp_path / "trained",
        "-o", *data, f"weights={weights}", "TopDownHRNet.flip=false",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    people = {
        kind: json.loads((tmp_path / kind / "keypoints_results.json").read_text())
        for kind in ("exported", "trained")
    }
    assert len(people["exported"]) == len(people["trained"]) == 6
    for ours, theirs in zip(people["exported"], people["trained"], strict=True):
        assert ours["image_id"] == theirs["image_id"]
        assert ours["score"] == pytest.approx(theirs["score"], rel=1e-4)

    result = run_tool(*evaluate, "--runtime", "paddle", "--json", tmp_path / "m.json", "-o", *data)
    assert result.returncode == 0, result.stderr
    assert f"model: {tmp_path / NAME} in paddle, fp32" in result.stdout
    assert "AP" in json.loads((tmp_path / "m.json").read_text())
    other = run_tool(*evaluate, "-o", *data, "trainsize=[64,96]", "hmsize=[16,24]")
    assert_one_line(other, "takes images of [64, 64]", "trainsize is [64, 96]")


def test_bad_exports(run_tool, weights, tmp_path):
    export = ["tools/export_model.py", "-c", CONFIG, "--output_dir", tmp_path / "out", "-o", *SMALL]
    assert_one_line(run_tool(*export, f"weights={tmp_path}/none"), "no weights at", "none.pdparams")
    assert_one_line(run_tool(*export, "architecture=YOLO"), "unknown component 'YOLO'")
    assert not list(tmp_path.iterdir())
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / NAME).write_text("in the way")
    assert_one_line(run_tool(*export, f"weights={weights}"), str(tmp_path / "out" / NAME))


def test_options_of_an_exported_model_alone(run_tool):
    result = run_tool("tools/eval.py", "-c", CONFIG, "--runtime", "paddle")
    assert result.returncode == 2
    assert "need an exported model: --model NAME|DIR" in result.stderr


@pytest.mark.heavy
def test_ap_of_real_weights_in_every_runtime(run_tool, reference, tmp_path):
    """AP as trained, with flip test and normalisation in the graph."""
    data = [
        f"EvalDataset.dataset_dir={reference}/data/coco_dev", "EvalDataset.image_dir=images",
        "EvalDataset.anno_path=annotations/person_keypoints.json",
    ]  # fmt: skip
    config, weights = "configs/tinypose_128x96.yml", reference / "data/weights/tinypose_128x96.pdparams"

    def evaluate(*arguments):
        run = ["tools/eval.py", "-c", config, "--json", tmp_path / "m.json", *arguments, *data]
        result = run_tool(*run, timeout=900)
        assert result.returncode == 0, result.stderr
        return json.loads((tmp_path / "m.json").read_text())["AP"]

    trained = evaluate("-o", f"weights={weights}", "TopDownHRNet.flip=true")
    for kind in ("paddle", "onnx"):
        result = run_tool(
            "tools/export_model.py", "-c", config, "--output_dir", tmp_path, "--format", kind,
            "--flip_test", "--fuse_normalize", "-o", f"weights={weights}",
            timeout=900,
        )  # fmt: skip
        assert result.returncode == 0, result.stderr
    folder = tmp_path / "tinypose_128x96"
    for runtime in ("paddle", "onnxruntime", "openvino"):
        ap = evaluate("--model_dir", folder, "--runtime", runtime, "-o")
        assert ap == pytest.approx(trained, abs=0.001), runtime
