"""The flags that users of other pose codes are used to, and the commands about them."""

import argparse

import pytest
import yaml
from runs import assert_one_line, data_overrides

from ppose.commands import eval as eval_command
from ppose.commands import train as train_command
from ppose.engine.task import Task
from ppose.options import add_gpu_option
from ppose.weights.checkpoint import save_weights
from ppose.workspace import load_config

CONFIG = "configs/tinypose_128x96.yml"


@pytest.mark.parametrize(
    ("text", "gpus"), [("0", [0]), ("0,1", [0, 1]), ("0-3", [0, 1, 2, 3]), ("1,4-5", [1, 4, 5])]
)
def test_gpus_are_a_list_or_a_range(text, gpus):
    parser = argparse.ArgumentParser()
    add_gpu_option(parser)
    assert parser.parse_args(["--gpu", text]).gpu == gpus


@pytest.mark.parametrize("text", ["a", "3-1", "0-", "", "0,,1"])
def test_what_are_no_gpus(text, capsys):
    parser = argparse.ArgumentParser()
    add_gpu_option(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(["--gpu", text])
    assert f"got '{text}', expected GPUs such as 0, 0,1 or 0-3" in capsys.readouterr().err


def test_continue_is_resume():
    parser = argparse.ArgumentParser()
    train_command.add_options(parser)
    assert parser.parse_args(["-c", "a.yml", "--continue"]).resume == ""
    assert parser.parse_args(["-c", "a.yml", "--continue", "b.npz"]).resume == "b.npz"


def test_flags_of_eval_are_overrides():
    parser = argparse.ArgumentParser()
    eval_command.add_options(parser)

    def ask(*flags):
        args = parser.parse_args(["-c", "configs/a.yml", *flags])
        return eval_command.what_flags_override(args, {"architecture": "HSRNet", "save_dir": "out"})

    assert ask() == []
    assert ask("--test_epoch", "140") == ["weights=out/a/model_dump/140.pdparams"]
    assert ask("--test_model", "x.pth") == ask("--model-file", "x.pth") == ["weights=x.pth"]
    assert ask("--flip-test", "--use-detect-bbox") == ["HSRNet.flip=true", "EvalDataset.use_gt_bbox=false"]


def test_an_epoch_is_evaluated_by_its_number(run_tool, coco_folder, tmp_path):
    dump = tmp_path / "tinypose_128x96" / "model_dump"
    dump.mkdir(parents=True)
    save_weights(Task(load_config(CONFIG)).model(), dump / "7.pdparams")
    data = [*data_overrides(coco_folder, ["EvalDataset"]), f"save_dir={tmp_path}", "EvalReader.batch_size=6"]
    done = run_tool("tools/eval.py", "-c", CONFIG, "--gpu", "0-1", "--test_epoch", 7, "-o", *data)
    assert done.returncode == 0, done.stderr
    assert "own boxes" in done.stdout
    missing = run_tool("tools/eval.py", "-c", CONFIG, "--test_epoch", 8, "-o", *data)
    assert_one_line(missing, "no weights at", "8.pdparams")
    boxes = run_tool("tools/eval.py", "-c", CONFIG, "--test_epoch", 7, "--use-detect-bbox", "-o", *data)
    assert_one_line(boxes, "use_gt_bbox is false but no bbox_file is given")


def test_model_info(run_tool):
    done = run_tool("tools/model_info.py", "-c", "configs/hsrnet_59_256x192_coco.yml")
    assert done.returncode == 0, done.stderr
    assert "input 192x256 bgr, 17 heatmaps 48x64" in done.stdout
    assert "parameters  22,595,921\n" in done.stdout
    assert "GFLOPs      10.57 as the official tables count" in done.stdout


def test_translate_writes_a_config_that_loads(run_tool, tmp_path):
    experiment = {
        "DATASET": {"DATASET": "coco", "ROOT": "data/coco", "TRAIN_SET": "train2017", "TEST_SET": "val2017"},
        "MODEL": {
            "NAME": "pose_resnet", "NUM_JOINTS": 17, "IMAGE_SIZE": [192, 256],
            "EXTRA": {"NUM_LAYERS": 101, "HEATMAP_SIZE": [48, 64], "SIGMA": 2},
        },
    }  # fmt: skip
    (tmp_path / "x.yaml").write_text(yaml.safe_dump(experiment))
    run = ("tools/translate.py", tmp_path / "x.yaml", "--output", tmp_path / "ours.yml")
    done = run_tool(*run)
    assert done.returncode == 0, done.stderr
    assert str(tmp_path / "ours.yml") in done.stdout
    assert load_config(tmp_path / "ours.yml")["PoseResNet"]["depth"] == 101
    before = (tmp_path / "ours.yml").read_bytes()
    assert_one_line(run_tool(*run), "ours.yml already exists")
    assert (tmp_path / "ours.yml").read_bytes() == before
    assert_one_line(run_tool("tools/translate.py", tmp_path / "none.yaml"), "none.yaml", "cannot be read")
    experiment["MODEL"]["EXTRA"]["NUM_LAYERS"] = 77
    (tmp_path / "x.yaml").write_text(yaml.safe_dump(experiment))
    refused = run_tool(*run[:3], tmp_path / "other.yml")
    assert_one_line(refused, f"{tmp_path / 'x.yaml'}: PoseResNet.depth: got 77, expected one of")
    done = run_tool("tools/translate.py", "python test.py --gpu 0 --test_model a.pth")
    assert done.stdout == (
        "python tools/eval.py -c configs/tf_hrnet_w32_256x192_coco.yml --gpu 0 --test_model a.pth "
        "--use-detect-bbox -o EvalDataset.bbox_file=dataset/COCO/dets/human_detection.json\n"
    )
    done = run_tool("tools/translate.py", "python tools/train.py --cfg experiments/a/b.yaml")
    assert done.stdout == "python tools/train.py -c a_b.yml\n"
    assert "write its config first: ppose translate EXPERIMENT.yaml" in done.stderr
