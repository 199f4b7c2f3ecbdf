"""Portable int8 weights: the bound in the files, and what processors without VNNI make of others."""

from types import SimpleNamespace

import numpy as np
import paddle
import pytest
from paddle import nn

from ppose.errors import ExportError
from ppose.export.graph import Graph, save_graph, trace
from ppose.export.onnx_graph import convert_to_onnx
from ppose.files import file_digest
from ppose.inference.runtimes import onnx_runtime, openvino_runtime
from ppose.processor import saturates_int8
from ppose.quantization.int8_graph import use_int8_convolutions
from ppose.quantization.int8_levels import check_portable, read_onnx_levels, read_paddle_levels
from ppose.quantization.int8_onnx import take_quantizations
from ppose.quantization.scheme import ConvQuantization, InputQuantization, quantize_conv2d, quantize_weight


def _make_network(kind):
    """Three convolutions; the weight of the second is mostly zeros, so that Paddle's file has it packed."""
    paddle.seed(5)
    network = nn.Sequential(
        nn.Conv2D(3, 80, 3), nn.ReLU(), nn.Conv2D(80, 60, 1), nn.ReLU(), nn.Conv2D(60, 8, 1)
    )
    weight = np.zeros((60, 80, 1, 1), np.float32)
    weight[:20, :30] = np.random.default_rng(0).normal(size=(20, 30, 1, 1))
    weight[20:, 30:] = np.random.default_rng(1).normal(size=(40, 50, 1, 1))
    network[2].weight.set_value(weight)
    for conv, largest in ((network[0], 1.0), (network[2], 1.5), (network[4], 3.0)):
        quantize_conv2d(conv, ConvQuantization(InputQuantization(largest, signed=False), kind))
    network.eval()
    return network


def _write(folder, kind, form):
    folder.mkdir(parents=True)
    network = _make_network(kind)
    expected = [quantize_weight(network[k].weight.numpy().astype(np.float64), kind)[0] for k in (0, 2, 4)]
    quantizations = take_quantizations(network) if form == "onnx" else use_int8_convolutions(network)
    save_graph(trace(Graph(network), (16, 16), None), folder)
    if form == "onnx":
        convert_to_onnx(folder, quantizations)
    return [levels.reshape(len(levels), -1) for levels in expected]


@pytest.mark.parametrize(("form", "read"), [("paddle", read_paddle_levels), ("onnx", read_onnx_levels)])
def test_the_integers_in_a_file_are_checked(tmp_path, form, read):
    expected = _write(tmp_path / "portable", "portable", form)
    got = {levels.shape: levels for _, levels in read(tmp_path / "portable")}
    assert len(got) == 3
    for levels in expected:
        np.testing.assert_array_equal(got[levels.shape], levels)
    check_portable(tmp_path / "portable")
    _write(tmp_path / "full_range", "full", form)
    with pytest.raises(
        ExportError, match=r"has two levels that sum to 2\d\d, expected at most 128 for portable"
    ):
        check_portable(tmp_path / "full_range")


def _heatmaps(folder, module, image):
    files = {file.name: file_digest(file) for file in folder.iterdir()}
    model = SimpleNamespace(path=folder, files=files, spec=SimpleNamespace(batch=None), is_int8=True)
    runtime = module.open_graph(model, device="cpu", precision="fp32", threads=1)
    return runtime(image)


@pytest.mark.parametrize("kind", ["portable", "full"])
def test_full_range_saturates_without_vnni_and_portable_weights_do_not(tmp_path, kind):
    """All inputs at their highest level, all weights of one sign: 255 * 127 * 2 is more than 32,767."""
    if kind == "full" and not saturates_int8():
        pytest.skip("this processor has VNNI, or is no x86: it does not saturate")
    conv = nn.Conv2D(32, 16, 1)
    conv.weight.set_value(np.random.default_rng(0).uniform(0.9, 1, conv.weight.shape).astype(np.float32))
    quantize_conv2d(conv, ConvQuantization(InputQuantization(1.0, signed=False), kind))
    expected = conv(paddle.ones([1, 32, 8, 8])).numpy()
    folder = tmp_path / ("full_range" if kind == "full" else "portable")
    folder.mkdir()
    network = nn.Sequential(conv)
    quantizations = take_quantizations(network)
    save_graph(trace(_Images(network), (8, 8), None), folder)
    convert_to_onnx(folder, quantizations)
    image = np.ones((1, 3, 8, 8), np.float32)
    off = np.abs(_heatmaps(folder, openvino_runtime, image) - expected).max()
    assert off > 1 if kind == "full" else off < 1e-4
    assert kind == "full" or np.abs(_heatmaps(folder, onnx_runtime, image) - expected).max() < 1e-4


class _Images(Graph):
    """Gives the network the first channel of an image 32 times."""

    def _find_heatmaps(self, image):
        return self.network(paddle.concat([image[:, :1]] * 32, axis=1))
