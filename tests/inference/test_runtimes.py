"""Which runtime is chosen, with what settings, and that all of them compute the same."""

import dataclasses
import importlib.util
import shutil
import sys
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import paddle
import pytest

from ppose.codecs import MSRAHeatmap
from ppose.errors import ConfigError, DataError, DeviceError
from ppose.inference.model_folder import read_model_folder, write_infer_cfg
from ppose.inference.runtimes import avoid_saturation, kinds, open_runtime, paddle_runtime, tensorrt
from ppose.keypoints import make_keypoint_set
from ppose.processor import check_bf16


@pytest.fixture
def folder(model_dir):
    return read_model_folder(model_dir)


@pytest.fixture
def without(monkeypatch):
    """Makes packages look as if they were not installed."""
    real = importlib.util.find_spec

    def _without(*names):
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in names else real(name))

    return _without


def heatmaps_of(image):
    """The network of `model_dir`, by OpenCV: mean of red (blue) without the others, twice blurred."""
    planes = image.astype(np.float64)
    maps = []
    for channel in (0, 2):
        colour = 1.5 * planes[channel] - 0.5 * planes.sum(axis=0)
        mean = cv2.boxFilter(colour, -1, (7, 7), borderType=cv2.BORDER_CONSTANT)[::4, ::4] * 49 / 20
        for _ in range(2):
            mean = cv2.boxFilter(mean, -1, (3, 3), borderType=cv2.BORDER_CONSTANT)
        maps.append(mean)
    return np.stack(maps)


@pytest.mark.parametrize(
    ("runtime", "options"),
    [
        ("paddle", {}),
        ("paddle", {"enable_mkldnn": False}),
        ("onnxruntime", {}),
        ("openvino", {}),
    ],
)
def test_all_compute_the_same(folder, runtime, options):
    image = np.random.default_rng(0).random((3, 3, 96, 64), np.float32)
    opened = open_runtime(folder, runtime, cpu_threads=1, **options)
    assert opened.name == runtime
    first = opened(image[:2])
    expected = np.array([heatmaps_of(one) for one in image])
    np.testing.assert_allclose(opened(image), expected, atol=1e-5)
    np.testing.assert_allclose(first, expected[:2], atol=1e-5)  # and is not overwritten by the next


@pytest.mark.parametrize("runtime", ["paddle", "onnxruntime", "openvino"])
def test_heatmaps_of_other_keypoints_are_refused_at_loading(folder, runtime):
    three = dataclasses.replace(folder.spec, keypoint_set=make_keypoint_set("three", ["a", "b", "c"], []))
    larger = dataclasses.replace(folder.spec, codec=MSRAHeatmap((64, 96), (32, 48)))
    for spec, expected in ((three, r"\(3, 24, 16\)"), (larger, r"\(2, 48, 32\)")):
        message = rf"gives heatmaps \(2, 24, 16\), infer_cfg.yml says {expected} .* of two models"
        with pytest.raises(DataError, match=message):
            open_runtime(dataclasses.replace(folder, spec=spec), runtime, cpu_threads=1)


@pytest.mark.parametrize("runtime", ["paddle", "onnxruntime", "openvino"])
def test_what_a_runtime_raises_names_its_file(folder, runtime, tmp_path):
    opened = open_runtime(folder, runtime, cpu_threads=1)
    with pytest.raises(DataError, match=r"model\.(onnx|json) does not run in .*: ") as caught:
        opened(np.zeros((1, 4, 96, 64), np.float32))
    assert "\n" not in str(caught.value)
    assert opened(np.zeros((1, 3, 96, 64), np.float32)).shape == (1, 2, 24, 16)
    for name in folder.files:
        (tmp_path / name).write_bytes(b"nothing of theirs")
    other = dataclasses.replace(folder, path=tmp_path, files=dict.fromkeys(folder.files, "0" * 64))
    with pytest.raises(DataError, match=r"model\.(onnx|json) .*do(es)? not load in .*: "):
        open_runtime(other, runtime, cpu_threads=1)


def test_paddles_flags_are_as_before(folder):
    """Training in the same process would pay for a runtime's choice in memory."""
    flag = "FLAGS_eager_delete_tensor_gb"
    before, inside = paddle.get_flags(flag), []
    opened = open_runtime(folder, "paddle")
    graph = opened._opened._graph
    run = graph._predictor.run

    class Watched:
        def __getattr__(self, name):
            return getattr(predictor, name)

        def run(self):
            inside.append(paddle.get_flags(flag)[flag])
            return run()

    predictor, graph._predictor = graph._predictor, Watched()
    opened(np.zeros((1, 3, 96, 64), np.float32))
    assert inside == [-1.0]
    assert paddle.get_flags(flag) == before != {flag: -1.0}


def test_bf16_is_near(folder):
    try:
        check_bf16()
    except DeviceError:
        pytest.skip("this processor has no bfloat16")
    image = np.random.default_rng(0).random((1, 3, 96, 64), np.float32)
    full, half = (open_runtime(folder, "openvino", precision=p)(image) for p in ("fp32", "bf16"))
    assert 0 < np.abs(full - half).max() < 0.02


@pytest.mark.parametrize(
    ("missing", "removed", "expected"),
    [
        ((), (), "openvino"),
        (("openvino",), (), "onnxruntime"),
        (("openvino", "onnxruntime"), (), "paddle"),
        ((), ("model.onnx",), "paddle"),
    ],
)
def test_auto_takes_the_fastest_that_there_is(folder, without, caplog, missing, removed, expected):
    without(*missing)
    files = {name: value for name, value in folder.files.items() if name not in removed}
    caplog.set_level("INFO", "ppose")
    assert open_runtime(dataclasses.replace(folder, files=files)).name == expected
    (line,) = caplog.messages
    assert f"runtime: {expected} " in line
    assert "the fastest" in line


def test_a_runtime_that_does_not_load(folder, monkeypatch, caplog):
    real = importlib.import_module

    def import_module(name):
        if name.endswith("openvino_runtime"):
            raise ImportError("libtbb.so.12: cannot open shared object file")
        return real(name)

    monkeypatch.setattr(importlib, "import_module", import_module)
    with pytest.raises(DeviceError, match=r"openvino is installed but does not load \(libtbb.so.12: "):
        open_runtime(folder, "openvino")
    assert open_runtime(folder).name == "onnxruntime"
    assert "pip install --force-reinstall openvino" in caplog.text


def test_a_package_that_refuses_to_be_found(folder, monkeypatch):
    def find_spec(name):
        raise ModuleNotFoundError(f"No module named '{name}'")

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
    with pytest.raises(DeviceError, match="runtime paddle is not installed: pip install paddlepaddle"):
        open_runtime(folder, "paddle")


def test_a_gpu_is_used_by_the_first_that_can(folder, monkeypatch):
    """ONNX Runtime's CPU build beside Paddle's for GPUs is no reason to give up."""
    monkeypatch.setattr(paddle_runtime, "check_device", lambda device: None)
    monkeypatch.setattr(paddle_runtime.inference, "Config", RecordingConfig)
    monkeypatch.setattr(paddle_runtime, "PaddleGraph", FakeGraph)
    assert open_runtime(folder, device="gpu").name == "paddle"


@pytest.mark.parametrize(
    ("arguments", "missing", "error", "expected"),
    [
        ({"runtime": "onnxruntime"}, ("onnxruntime",), DeviceError, "pip install onnxruntime"),
        ({}, ("onnxruntime", "openvino", "paddle"), DeviceError, "pip install openvino"),
        ({"runtime": "torch"}, (), ConfigError, "runtime is 'torch', expected one of auto, paddle"),
        ({"precision": "int8"}, (), ConfigError, "int8 is for models that are exported quantized"),
        ({"runtime": "onnxruntime", "precision": "bf16"}, (), ConfigError, "it has fp32"),
        ({"runtime": "openvino", "device": "gpu"}, (), ConfigError, "does not run on device gpu"),
        ({"runtime": "paddle", "device": "gpu"}, (), DeviceError, "device is gpu, but"),
        ({"runtime": "onnxruntime", "device": "gpu"}, (), DeviceError, "no CUDAExecutionProvider"),
        ({"device": "gpu"}, (), DeviceError, "pip install onnxruntime-gpu); device is gpu, but"),
        ({"precision": "fp16"}, (), ConfigError, "has precision fp16 on cpu, it may be fp32, bf16"),
        ({"cpu_threads": 0}, (), ConfigError, "cpu_threads is 0"),
        ({"cpu_threads": 99999}, (), ConfigError, "cpu_threads is 99999, expected 1 to 1024"),
        ({"runtime": "onnxruntime", "enable_mkldnn": True}, (), ConfigError, "takes no enable_mkldnn"),
    ],
)
def test_what_cannot_run_is_reported_in_one_line(folder, without, arguments, missing, error, expected):
    without(*missing)
    with pytest.raises(error) as caught:
        open_runtime(folder, **arguments)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.fixture
def no_vnni(monkeypatch):
    monkeypatch.setattr("ppose.inference.model_folder.saturates_int8", lambda: True)


@pytest.mark.usefixtures("no_vnni")
@pytest.mark.parametrize("weights", ["full", None])
def test_an_int8_model_of_full_range_where_it_saturates(folder, caplog, weights):
    caplog.set_level("WARNING", "ppose")
    quantized = dataclasses.replace(folder, quantization_sha256="ab" * 32, int8_weights=weights)
    assert open_runtime(quantized).name == "paddle"  # which computes in floats
    assert not caplog.messages
    assert open_runtime(quantized, "openvino").name == "openvino"
    only_onnx = dataclasses.replace(quantized, files={"model.onnx": folder.files["model.onnx"]})
    assert open_runtime(only_onnx).name == "openvino"
    assert len(caplog.messages) == 2
    assert all("no VNNI and saturates" in text for text in caplog.messages)
    assert all("PTQ.weights=portable, or take --runtime paddle" in text for text in caplog.messages)
    open_runtime(dataclasses.replace(quantized, int8_weights="portable"), "openvino")
    open_runtime(folder, "openvino")
    assert len(caplog.messages) == 2


@pytest.mark.usefixtures("no_vnni")
def test_the_float_export_beside_is_taken_where_int8_saturates(model_dir, tmp_path, caplog):
    shutil.copytree(model_dir, tmp_path / "two_colours")
    shutil.copytree(model_dir, tmp_path / "two_colours_int8")
    in_float = read_model_folder(tmp_path / "two_colours")
    full = dataclasses.replace(
        in_float, path=tmp_path / "two_colours_int8", quantization_sha256="ab" * 32, int8_weights="full"
    )
    write_infer_cfg(full)
    assert read_model_folder(full.path) == full
    assert avoid_saturation(full, "auto") == in_float
    assert "two_colours instead" in caplog.text
    assert avoid_saturation(full, "openvino") is full
    assert avoid_saturation(in_float, "auto") is in_float
    portable = dataclasses.replace(full, int8_weights="portable")
    assert avoid_saturation(portable, "auto") is portable
    write_infer_cfg(dataclasses.replace(in_float, weights_sha256="1" * 64))  # another network
    assert avoid_saturation(full, "auto") is full


def test_full_range_is_no_matter_where_it_does_not_saturate(folder, monkeypatch):
    monkeypatch.setattr("ppose.inference.model_folder.saturates_int8", lambda: False)
    assert not dataclasses.replace(folder, quantization_sha256="ab" * 32, int8_weights="full").saturates


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_an_int8_model_says_so(folder, caplog, precision):
    caplog.set_level("INFO", "ppose")
    quantized = dataclasses.replace(folder, quantization_sha256="ab" * 32, int8_weights="portable")
    open_runtime(quantized, "onnxruntime", precision=precision, cpu_threads=1)
    assert ", int8, 1 threads" in caplog.messages[0]
    with pytest.raises(ConfigError, match="is an int8 model, precision is fp16; leave the precision out"):
        open_runtime(quantized, "paddle", device="gpu", precision="fp16")
    with pytest.raises(ConfigError, match="runtime onnxruntime has no precision bf16"):
        open_runtime(quantized, "onnxruntime", precision="bf16")


@pytest.mark.parametrize(
    ("runtime", "removed", "expected"),
    [
        ("openvino", "model.onnx", "--format onnx adds it"),
        ("paddle", "model.json", "no model.json+model.pdiparams"),
    ],
)
def test_a_runtime_without_its_file(folder, runtime, removed, expected):
    files = {name: value for name, value in folder.files.items() if name != removed}
    with pytest.raises(DataError) as caught:
        open_runtime(dataclasses.replace(folder, files=files), runtime)
    assert expected in str(caught.value)


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


def test_kinds_cover_the_names_that_may_be_asked_for():
    assert {"auto", *kinds.KINDS} == set(get_args(kinds.RuntimeName))
