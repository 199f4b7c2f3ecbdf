"""Settings of Paddle Inference, and TensorRT within it, with doubles where a GPU is needed."""

import dataclasses
import sys
from pathlib import Path

import numpy as np
import paddle
import pytest

from ppose.errors import ConfigError, DeviceError
from ppose.inference.runtimes import open_runtime, paddle_runtime, tensorrt


def test_settings_of_paddle(folder):
    def make(**changes):
        asked = {"device": "cpu", "precision": "fp32", "threads": 3, "use_onednn": True, **changes}
        return paddle_runtime.make_config(
            folder.path / "model.json", folder.path / "model.pdiparams", **asked
        )

    config = make()
    assert config.new_ir_enabled()
    assert config.mkldnn_enabled()
    assert config.cpu_math_library_num_threads() == 3
    assert not config.use_gpu()
    assert not make(use_onednn=False).mkldnn_enabled()


class RecordingConfig:
    """In place of paddle.inference.Config, which on a CPU build ignores the GPU."""

    def __init__(self, *files):
        self.files, self.calls = files, {}

    def __getattr__(self, name):
        return lambda *values: self.calls.__setitem__(name, values)


class FakeGraph:
    """A `PaddleGraph` that finds nothing, without a GPU."""

    made = []

    def __init__(self, config, file):
        self.made.append(config)

    def run(self, inputs):
        return [np.zeros((len(inputs["image"]), 2, 24, 16), np.float32)]


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_settings_of_paddle_on_a_gpu(monkeypatch, precision):
    monkeypatch.setattr(paddle_runtime.inference, "Config", RecordingConfig)
    config = paddle_runtime.make_config(
        Path("m.json"), Path("m.pdiparams"), device="gpu", precision=precision, threads=1, use_onednn=True
    )
    kinds = paddle_runtime.inference.PrecisionType
    assert config.files == ("m.json", "m.pdiparams")
    assert config.calls["enable_use_gpu"][2] == (kinds.Half if precision == "fp16" else kinds.Float32)
    assert "enable_mkldnn" not in config.calls


def test_a_gpu_is_used_by_the_first_that_can(folder, monkeypatch):
    """ONNX Runtime's CPU build beside Paddle's for GPUs is no reason to give up."""
    monkeypatch.setattr(paddle_runtime, "check_device", lambda device: None)
    monkeypatch.setattr(paddle_runtime.inference, "Config", RecordingConfig)
    monkeypatch.setattr(paddle_runtime, "PaddleGraph", FakeGraph)
    assert open_runtime(folder, device="gpu").name == "paddle"


FAKE_EXPORT = """
import enum, pathlib
calls = []
PrecisionMode = enum.Enum("PrecisionMode", ["FP32", "FP16", "INT8"])
class Input:
    def __init__(self, **shapes):
        self.__dict__.update(shapes)
class TensorRTConfig:
    def __init__(self, inputs):
        self.inputs = inputs
def convert(path, config):
    calls.append((path, config))
    for ending in (".json", ".pdiparams"):
        pathlib.Path(config.save_model_dir + ending).write_text("converted")
"""


@pytest.fixture
def fake_tensorrt(tmp_path, monkeypatch):
    """`paddle.tensorrt.export` and `tensorrt` as far as they are called; returns the calls of convert."""
    (tmp_path / "tensorrt").mkdir()
    (tmp_path / "tensorrt" / "__init__.py").write_text("")
    (tmp_path / "tensorrt" / "export.py").write_text(FAKE_EXPORT)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(paddle, "__path__", [*paddle.__path__, str(tmp_path)])
    monkeypatch.setattr(tensorrt, "version", lambda package: "10.5.0")
    monkeypatch.setattr(tensorrt, "_gpu_name", lambda: "T4")
    from paddle.tensorrt import export

    yield export.calls
    for name in [n for n in sys.modules if n.startswith(("paddle.tensorrt", "tensorrt"))]:
        del sys.modules[name]


def test_tensorrt_gets_the_models_shapes_and_is_built_once(folder, fake_tensorrt, tmp_path):
    graph = tensorrt.convert_to_tensorrt(folder, "fp16", 8, tmp_path / "cache")
    ((path, config),) = fake_tensorrt
    (image,) = config.inputs
    assert path == str(folder.path / "model.json")
    assert (image.name, image.input_data_type) == ("image", "float32")
    assert (image.min_input_shape, image.max_input_shape) == ([1, 3, 96, 64], [8, 3, 96, 64])
    assert config.precision_mode.name == "FP16"
    assert graph.parent.parent == tmp_path / "cache"
    assert graph.read_text() == graph.with_suffix(".pdiparams").read_text() == "converted"
    assert tensorrt.convert_to_tensorrt(folder, "fp16", 8, tmp_path / "cache") == graph
    assert len(fake_tensorrt) == 1
    fixed = dataclasses.replace(folder, spec=dataclasses.replace(folder.spec, batch=4))
    others = [
        tensorrt.convert_to_tensorrt(folder, "fp16", 2, tmp_path / "cache"),
        tensorrt.convert_to_tensorrt(folder, "int8", 8, tmp_path / "cache"),
        tensorrt.convert_to_tensorrt(fixed, "fp16", 8, tmp_path / "cache"),
    ]
    assert len({graph, *others}) == 4
    assert fake_tensorrt[-1][1].inputs[0].min_input_shape == [4, 3, 96, 64]


def test_tensorrt_that_is_not_there(folder):
    with pytest.raises(DeviceError, match="TensorRT is not installed: pip install"):
        tensorrt.convert_to_tensorrt(folder, "fp16", 8, None)


def test_tensorrt_runs_in_paddle(folder, fake_tensorrt, tmp_path, monkeypatch):
    """The converted graph, and not the exported one, goes to the GPU."""
    made = []
    monkeypatch.setattr(paddle_runtime, "check_device", lambda device: None)
    monkeypatch.setattr(paddle_runtime.inference, "Config", RecordingConfig)

    monkeypatch.setattr(FakeGraph, "made", made)
    monkeypatch.setattr(paddle_runtime, "PaddleGraph", FakeGraph)
    options = {"device": "gpu", "tensorrt_batch": 4, "tensorrt_cache": tmp_path / "cache"}
    quantized = dataclasses.replace(folder, quantization_sha256="ab" * 32)
    open_runtime(quantized, "paddle", precision="int8", **options)
    assert fake_tensorrt[0][1].precision_mode.name == "INT8"
    for model, precision in ((folder, "int8"), (quantized, "fp16")):
        with pytest.raises(ConfigError, match=f"TensorRT's {precision} takes an? (int8|float) one"):
            open_runtime(model, "paddle", precision=precision, **options)
    (config,) = made
    assert all(str(tmp_path / "cache") in file for file in config.files)
    assert "enable_use_gpu" in config.calls
