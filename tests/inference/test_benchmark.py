import shutil
import sys
import time

import numpy as np
import pytest
import yaml

from ppose.errors import ConfigError
from ppose.inference import benchmark
from ppose.inference.benchmark import Contender, make_scenes, measure, run_batches, split_scenes
from ppose.inference.model_folder import read_model_folder
from ppose.inference.predictor import Predictor
from ppose.workspace import plugins


def test_batches_take_everyone_in_turn_with_their_image():
    images = [np.zeros((9, 9, 3), np.uint8), np.ones((9, 9, 3), np.uint8)]
    boxes = [np.arange(12).reshape(3, 4), np.arange(12, 20).reshape(2, 4)]
    batches = split_scenes(list(zip(images, boxes, strict=True)), 4)
    first, second = next(batches), next(batches)
    assert [(image is images[1], found.tolist()) for image, found in first] == [
        (False, boxes[0].tolist()),
        (True, boxes[1][:1].tolist()),
    ]
    assert [(image is images[1], found.tolist()) for image, found in second] == [
        (True, boxes[1][1:].tolist()),
        (False, boxes[0].tolist()),
    ]


def test_made_up_people_are_within_the_image():
    ((image, boxes),) = make_scenes(100)
    assert boxes.shape == (100, 4)
    assert boxes.min() >= 0
    assert (boxes[:, 2:] <= image.shape[1::-1]).all()
    assert (boxes[:, 2:] - boxes[:, :2] >= 60).all()


class Sleeper:
    """A runtime that takes 30 ms a person."""

    name, callers = "sleeper", 1

    def __call__(self, image):
        time.sleep(0.03 * len(image))
        return np.zeros((len(image), 2, 24, 16), np.float32)


def test_times_are_of_whole_batches_and_say_where_they_went(model_dir):
    predictor = Predictor(read_model_folder(model_dir).spec, Sleeper(), batch_size=2)
    seconds = run_batches(predictor, split_scenes(make_scenes(8), 2), 3)
    assert seconds.shape == (3, 4)
    whole, parts = seconds[:, 0], seconds[:, 1:]
    assert (parts[:, 1] >= 0.06).all()
    assert (parts > 0).all()
    assert (parts.sum(axis=1) <= whole).all()
    np.testing.assert_allclose(parts.sum(axis=1), whole, rtol=0.2)  # little happens in between


def test_contenders_are_measured_side_by_side(model_dir):
    contenders = [
        Contender(model_dir, "onnxruntime", cpu_threads=1, batch_size=2),
        Contender(model_dir, "onnxruntime", precision="bf16"),
    ]
    result, error = measure(contenders, make_scenes(4), rounds=2, batches=3)
    assert result.runtime == "onnxruntime"
    assert 0 < result.p50 <= result.p90
    assert 0 < sum(result.parts.values()) <= 3 * result.p50
    assert result.people_per_second == pytest.approx(2000 / result.p50)
    assert 20 < result.peak_memory < 2000
    assert isinstance(error, ConfigError)


def test_the_processes_have_the_plugins(model_dir, tmp_path, monkeypatch):
    """A step of the preprocessing that a plugin brings."""
    (tmp_path / "brings_a_step.py").write_text(
        "from ppose.transforms.transform import Transform\n"
        "from ppose.workspace import register\n\n"
        "@register(Transform)\n"
        "class Untouched:\n"
        "    def __call__(self, sample):\n"
        "        return sample\n"
    )
    copy = shutil.copytree(model_dir, tmp_path / "exported")
    cfg = yaml.safe_load((copy / "infer_cfg.yml").read_text())
    cfg["sample_transforms"].append({"Untouched": {}})
    (copy / "infer_cfg.yml").write_text(yaml.safe_dump(cfg))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(plugins, "loaded_plugins", loaded := [])
    monkeypatch.setattr(benchmark, "loaded_plugins", loaded)
    plugins.load_plugin("brings_a_step")
    (result,) = measure([Contender(copy, "onnxruntime", cpu_threads=1)], make_scenes(2), rounds=1, batches=1)
    assert result.runtime == "onnxruntime"
