"""tools/quantize.py as a command, and what users do wrong with it."""

import csv
import json
import runpy
import subprocess
import sys

import cv2
import numpy as np
import paddle
import pytest
from PIL import Image
from runs import assert_one_line, data_overrides

from ppose.engine.calibration import CalibrationImages, make_sampled_ap
from ppose.engine.evaluate import evaluate
from ppose.engine.load import load_trained
from ppose.engine.network_runtime import network_predictor
from ppose.engine.task import Task
from ppose.errors import DataError
from ppose.export.evaluate import compare_ap
from ppose.inference.model_folder import read_model_folder
from ppose.inference.runtimes import open_runtime
from ppose.quantization.calibrate import PTQ, calibrate, quantize_network
from ppose.quantization.convolutions import find_convs
from ppose.weights.checkpoint import save_weights
from ppose.workspace import create, load_config

CONFIG = "configs/lite_hrnet_18_256x192_coco.yml"
NAME = "lite_hrnet_18_256x192_coco_int8"
SMALL = ["trainsize=[64,64]", "hmsize=[16,16]", "LiteHRNet.network_type=lite_8", "worker_num=0"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Of a network whose weights let signals pass: as they start, they shrink to nothing."""
    paddle.seed(0)
    model = Task(load_config(CONFIG, SMALL)).model()
    for conv in find_convs(model).values():
        paddle.nn.initializer.KaimingNormal()(conv.weight)
    for _ in range(20):
        model(paddle.randn([2, 3, 64, 64]))
    file = tmp_path_factory.mktemp("weights") / "model_final.pdparams"
    save_weights(model, file)
    return file


@pytest.fixture
def quantize(monkeypatch, capsys):
    """Run tools/quantize.py in this process: quicker."""

    def _quantize(*arguments):
        monkeypatch.setattr(sys, "argv", list(map(str, ["tools/quantize.py", "-c", CONFIG, *arguments])))
        code = 0
        try:
            runpy.run_path("tools/quantize.py", run_name="__main__")
        except SystemExit as leave:
            code = leave.code
        return subprocess.CompletedProcess(arguments, code, *capsys.readouterr())

    return _quantize


def make_task(folder, *more):
    return Task(load_config(CONFIG, [*SMALL, *data_overrides(folder), *more]))


def test_images_are_those_that_the_network_sees_at_evaluation(coco_folder, tmp_path):
    task = make_task(coco_folder, "EvalReader.batch_size=4")
    batches = task.reader("EvalReader").batches(task.dataset("EvalDataset"), workers=0)
    people = np.concatenate([batch["image"].numpy() for batch in batches])
    batches = [batch.numpy() for batch in CalibrationImages.from_dataset(task, "TrainDataset", 100)]
    assert [len(batch) for batch in batches] == [4, 2]
    np.testing.assert_array_equal(np.concatenate(batches), people)
    spread = CalibrationImages.from_dataset(task, "EvalDataset", 3)
    np.testing.assert_array_equal(next(iter(spread)).numpy(), people[[0, 2, 4]])
    np.testing.assert_array_equal(spread.sample(1).numpy(), people[:1])
    boxed = CalibrationImages.from_folder(task, coco_folder / "images", 100, coco_folder / "annotations.json")
    assert sum(len(batch) for batch in boxed) == 9  # the unlabelled have boxes too; crowds are nobody
    whole = CalibrationImages.from_folder(task, coco_folder / "images", 2)
    assert [batch.shape for batch in whole] == [[2, 3, 64, 64]]


class Peak(paddle.nn.Layer):
    """Finds every keypoint in one column of the box, half-way down: in the eighth it is the middle."""

    def __init__(self, column):
        super().__init__()
        self._column = column

    def forward(self, image):
        heatmaps = np.zeros((len(image), 17, 16, 16), np.float32)
        heatmaps[:, :, 8, self._column] = 1
        return paddle.to_tensor(heatmaps)


def put_at_the_middle(folder, images):
    """Put the keypoints of the people of some images at the middle of their boxes; returns the folder."""
    content = json.loads((folder / "annotations.json").read_text())
    for person in content["annotations"]:
        if person["image_id"] in images and person["num_keypoints"]:
            x, y, width, height = person["bbox"]
            person["keypoints"] = [x + width / 2, y + height / 2, 2] * 17
    (folder / "annotations.json").write_text(json.dumps(content))
    return folder


def evaluate_all(task, network):
    dataset = task.dataset("EvalDataset")
    metric = task.metric(dataset)
    evaluate(task, network_predictor(task, network, "EvalReader"), dataset, metric)
    return metric.compute()["AP"]


def test_ap_of_a_part_is_that_of_all_people_of_some_images(write_coco, tmp_path):
    folder = put_at_the_middle(write_coco(tmp_path / "coco", images=6), {1, 3, 5})
    content = json.loads((folder / "annotations.json").read_text())
    for key in ("images", "annotations"):
        of_part = [entry for entry in content[key] if entry.get("image_id", entry["id"]) in (1, 3, 5)]
        content[key] = of_part
    (folder / "part.json").write_text(json.dumps(content))
    options = ["TopDownHRNet.flip=false", "EvalReader.batch_size=4"]
    task = make_task(folder, *options)
    part, whole = make_sampled_ap(task, 6), make_sampled_ap(task, 100)
    expected = evaluate_all(make_task(folder, *options, "EvalDataset.anno_path=part.json"), Peak(8))
    assert 1.5 * evaluate_all(task, Peak(8)) < expected
    assert part(Peak(8)) == part(Peak(8)) == expected
    assert whole(Peak(8)) == evaluate_all(task, Peak(8))


def test_what_was_calibrated_is_exported(quantize, coco_folder, weights, tmp_path):
    overrides = [*SMALL, *data_overrides(coco_folder), f"weights={weights}"]
    result = quantize(
        "--calib_dataset", "TrainDataset", "--calib_images", "4", "--output_dir", tmp_path,
        "--method", "minmax", "--not_quantized", "backbone.head_layer", "final_conv",
        "-o", *overrides, "PTQ.method=entropy",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    folder = tmp_path / NAME
    assert "convolutions in eight bits (minmax): heatmaps off by " in result.stdout
    assert f"{folder}: model.json, model.pdiparams, infer_cfg.yml" in result.stdout
    task = Task(load_config(CONFIG, overrides))
    images = CalibrationImages.from_dataset(task, "TrainDataset", 4)
    how = PTQ(method="minmax", not_quantized=["backbone.head_layer", "final_conv"])
    model = load_trained(task)
    image, quantized = images.sample(4), quantize_network(model, images, how)
    got = paddle.to_tensor(open_runtime(read_model_folder(folder), "paddle")(image.numpy()))
    expected = quantized(image)
    # One rounding more (6e-8) after each layer moves these heatmaps by 0.015 to 0.027; entropy by 0.22.
    assert float((got - expected).norm() / expected.norm()) < 0.05
    every = calibrate(model, images, PTQ())
    chosen = [name for name in every if not name.startswith(tuple(how.not_quantized))]
    assert f"{len(chosen)} of 129 convolutions in eight bits" in result.stdout
    assert len(chosen) < len(every)


def test_layers_are_analysed_in_place_of_an_export(quantize, coco_folder, weights, tmp_path):
    analyse = ["--calib_dir", coco_folder / "images", "--analyse", "--output_dir", tmp_path / "out"]
    data = ["-o", *SMALL, *data_overrides(coco_folder), f"weights={weights}"]
    none = quantize(*analyse, *data, "EvalDataset.anno_path=none.json")
    assert_one_line(none, "none.json", "--analyse_ap 0")
    assert not (tmp_path / "out").exists()
    kept = ["--not_quantized", "backbone.stage*", "backbone.transition*", "*.fuse_layers"]
    result = quantize(*analyse, "--analyse_ap", "1", *kept, *data)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[0].split() == ["heatmap", "error", "AP", "quantized"]
    folder = tmp_path / "out" / NAME
    assert sorted(file.name for file in folder.iterdir()) == ["analysis.csv", "analysis.png"]
    with (folder / "analysis.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["layer"] for row in rows[:2]] == ["(nothing)", "(everything)"]
    layers = {row["layer"] for row in rows[2:]}
    assert {"final_conv", "backbone.stem.conv1.conv"} <= layers
    assert not any(name.startswith("backbone.stage") or "depthwise" in name for name in layers)
    assert [row["AP"] != "" for row in rows] == [True] * 3 + [False] * (len(rows) - 3)
    assert all(row["layer"] in result.stdout for row in rows)
    assert cv2.imread(str(folder / "analysis.png")) is not None


def test_ap_in_float_simulated_and_exported(quantize, coco_folder, weights, tmp_path):
    data = [*SMALL, *data_overrides(coco_folder), f"weights={weights}"]
    options = ["--calib_dataset", "TrainDataset", "--calib_images", "4", "--eval", "--output_dir", tmp_path]
    missing = quantize(*options, "-o", *data, "EvalDataset.anno_path=none.json")
    assert_one_line(missing, "none.json")
    assert "calibrating" not in missing.stderr
    result = quantize(*options, "-o", *data)
    assert result.returncode == 0, result.stderr
    title, *lines = result.stdout.splitlines()[-4:]
    assert title == "AP without flip test, the people's own boxes (ground truth):"
    ways = ["in float", "in eight bits, simulated", "exported, in paddle"]
    assert [line.split(maxsplit=1)[1] for line in lines] == ways
    assert all(0 <= float(line.split()[0]) <= 1 for line in lines)


@pytest.mark.parametrize("flips", [False, True])
def test_ap_is_of_each_network_with_the_exports_flip_test(write_coco, tmp_path, flips):
    """Everybody's keypoints are at the middle, whatever flip test the config asks for."""
    folder = put_at_the_middle(write_coco(tmp_path / "coco", images=2), {1, 2})
    whole_boxes = "EvalDataset.clip_bbox=false"
    networks = {"middle": Peak(8), "beside": Peak(10)}
    expected = {}
    for name, network in {**networks, "exported, in some": Peak(9)}.items():
        expected[name] = evaluate_all(
            make_task(folder, f"TopDownHRNet.flip={str(flips).lower()}", whole_boxes), network
        )
    assert len(set(expected.values())) == 3
    for asked in ("true", "false"):
        task = make_task(folder, f"TopDownHRNet.flip={asked}", whole_boxes)
        exported = network_predictor(task, Peak(9), "EvalReader", flip=flips)
        exported.runtime_name = "some"
        assert compare_ap(task, networks, exported, task.dataset("EvalDataset")) == expected


def test_bad_calibration(quantize, coco_folder, weights, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.jpg").write_bytes(b"no image")
    own = [*SMALL, f"weights={weights}"]
    good = coco_folder / "images"
    for folder, more, overrides, expected in (
        (tmp_path / "none", [], own, ["image folder not found", "none"]),
        (tmp_path / "empty", [], own, ["no image in", "empty"]),
        (tmp_path / "broken", [], own, ["not a readable image", "a.jpg"]),
        (good, ["--not_quantized", "final_cnv"], own, ["'final_cnv'", "did you mean 'final_conv'?"]),
        (good, [], [*own, "PTQ.method=max"], ["PTQ.method: got 'max'", "percentile"]),
        (good, [], [*SMALL, f"weights={tmp_path}/none.pdparams"], ["no weights at", "none.pdparams"]),
    ):
        options = ["--calib_dir", folder, "--output_dir", tmp_path / "out", *more]
        assert_one_line(quantize(*options, "-o", *overrides), *expected)


def test_images_that_cannot_be_read_are_reported(coco_folder, caplog):
    """The others are calibrated on, and the command ends with an error."""
    (coco_folder / "images" / "a.jpg").write_bytes(b"no image")
    images = CalibrationImages.from_folder(make_task(coco_folder), coco_folder / "images", 4)
    assert sum(len(batch) for batch in images) == 3
    assert "skipped: not a readable image" in caplog.text
    with pytest.raises(DataError, match=r"1 images were skipped: not a readable image: .*a\.jpg"):
        images.check()
    CalibrationImages.from_dataset(make_task(coco_folder), "EvalDataset", 1).check()


def test_photos_are_turned_as_the_file_of_their_boxes_knows_them(coco_folder, tmp_path):
    """Labelled as stored, a photo is what it is without its EXIF orientation."""
    photo, stored = tmp_path / "photo", tmp_path / "stored"
    exif = Image.Exif()
    exif[274] = 6
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8))
    for folder, more in ((photo, {"exif": exif}), (stored, {})):
        folder.mkdir()
        noise.save(folder / "a.jpg", **more)
    batches = []
    for folder, size in ((photo, (80, 60)), (stored, (80, 60)), (photo, (60, 80))):
        image = {"id": 1, "file_name": "a.jpg", "width": size[0], "height": size[1]}
        content = {"images": [image], "annotations": [{"image_id": 1, "bbox": [10, 10, 30, 40]}]}
        (tmp_path / "boxes.json").write_text(json.dumps(content))
        images = CalibrationImages.from_folder(make_task(coco_folder), folder, 1, tmp_path / "boxes.json")
        batches.append(next(iter(images)).numpy())
    np.testing.assert_array_equal(batches[0], batches[1])
    assert np.abs(batches[0] - batches[2]).max() > 0.1


def test_options_that_do_not_go_together(quantize):
    assert "--calib_dir --calib_dataset is required" in quantize().stderr
    boxes = quantize("--calib_dataset", "EvalDataset", "--boxes", "boxes.json")
    assert boxes.returncode == 2
    assert "--boxes needs --calib_dir" in boxes.stderr
    both = quantize("--calib_dataset", "EvalDataset", "--analyse", "--eval")
    assert "--eval needs an export, but --analyse exports nothing" in both.stderr
    assert "--calib_images 1 or more" in quantize("--calib_dir", ".", "--calib_images", "0").stderr


@pytest.mark.heavy
def test_real_weights_keep_their_ap(reference):
    """PP-TinyPose as published, calibrated on every third of the 361 people, see docs/benchmarks.md."""
    data = {"dataset_dir": reference / "data" / "coco_dev", "image_dir": "images"}
    data["anno_path"] = "annotations/person_keypoints.json"
    weights = reference / "data" / "weights" / "tinypose_128x96.pdparams"
    overrides = [f"EvalDataset.{key}={value}" for key, value in data.items()]
    cfg = load_config("configs/tinypose_128x96.yml", [*overrides, f"weights={weights}"])
    task = Task(cfg)
    images = CalibrationImages.from_dataset(task, "EvalDataset", 120)
    trained = load_trained(task)
    quantized = quantize_network(trained, images, create("PTQ", cfg))
    assert evaluate_all(task, quantized) >= evaluate_all(task, trained) - 0.010
