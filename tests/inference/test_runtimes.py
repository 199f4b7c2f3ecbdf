"""Which runtime is chosen, with what settings, and that all of them compute the same."""

import dataclasses
import importlib.util
import shutil
from typing import get_args

import cv2
import numpy as np
import paddle
import pytest

from ppose.codecs import MSRAHeatmap
from ppose.errors import ConfigError, DataError, DeviceError
from ppose.inference.model_folder import read_model_folder, write_infer_cfg
from ppose.inference.runtimes import avoid_saturation, kinds, open_runtime
from ppose.keypoints import make_keypoint_set
from ppose.processor import check_bf16


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


def test_kinds_cover_the_names_that_may_be_asked_for():
    assert {"auto", *kinds.KINDS} == set(get_args(kinds.RuntimeName))
