"""Quantized convolutions in the runtimes: integer arithmetic, in the form that each of them expects."""

import itertools
from types import SimpleNamespace

import numpy as np
import onnx
import paddle
import pytest
from onnx import numpy_helper
from paddle import nn

from ppose.errors import ExportError
from ppose.export.graph import Graph, save_graph, trace
from ppose.export.onnx_graph import convert_to_onnx
from ppose.files import file_digest
from ppose.inference.runtimes import onnx_runtime, openvino_runtime, paddle_runtime
from ppose.quantization.int8_onnx import insert_quantizations, take_quantizations
from ppose.quantization.scheme import ConvQuantization, InputQuantization, quantize_conv2d, quantize_weight


def _folder(path):
    """What a runtime asks of a model's folder."""
    files = {file.name: file_digest(file) for file in path.iterdir()}
    paddle_files = (path / "model.json", path / "model.pdiparams")
    return SimpleNamespace(
        path=path,
        files=files,
        spec=SimpleNamespace(batch=None),
        paddle_files=paddle_files,
        is_int8=True,
        published=None,
    )


def _convolve(levels, weight, stride, padding):
    """Integer convolution of (C, H, W) by (O, C, k, k), by its definition."""
    padded = np.pad(levels.astype(np.int64), ((0, 0), (padding, padding), (padding, padding)))
    out, _, size, _ = weight.shape
    height = (padded.shape[1] - size) // stride + 1
    result = np.zeros((out, height, height), np.int64)
    for o, y, x in itertools.product(range(out), range(height), range(height)):
        window = padded[:, y * stride : y * stride + size, x * stride : x * stride + size]
        result[o, y, x] = (window * weight[o].astype(np.int64)).sum()
    return result


def test_every_runtime_computes_the_integer_arithmetic(branches, branches_files):
    image = np.random.default_rng(1).normal(size=(1, 3, 32, 32)).astype(np.float32)

    def apply(conv, x, rounding, stride=1, padding=0, groups=1):
        cut = x if rounding.clip is None else np.clip(x, -rounding.clip, rounding.clip)
        levels = np.clip(np.rint(cut / np.float32(rounding.step)), *rounding.levels)
        weight, steps = quantize_weight(conv.weight.numpy().astype(np.float64), "portable")
        if groups == 1:
            total = _convolve(levels, weight, stride, padding)
        else:
            total = np.concatenate(
                [_convolve(levels[c : c + 1], weight[c : c + 1], stride, padding) for c in range(groups)]
            )
        scale = steps.astype(np.float64) * rounding.step
        return (total * scale[:, None, None] + conv.bias.numpy()[:, None, None]).astype(np.float32)

    twins = [
        apply(twin, image[0], rounding, stride=2, padding=1)
        for twin, rounding in zip(
            branches.twins, [InputQuantization(2.0), InputQuantization(3.0, clip=1.1)], strict=True
        )
    ]
    deep = apply(branches.depthwise, np.concatenate(twins), InputQuantization(1.5), padding=1, groups=16)
    expected = apply(branches.last, np.maximum(deep, 0), InputQuantization(0.4, signed=False))
    largest_step = 0.4 / 255 * np.abs(branches.last.weight.numpy()).sum(axis=1).max()
    for module, folder in (
        (paddle_runtime, branches_files[0]),
        (onnx_runtime, branches_files[1]),
        (openvino_runtime, branches_files[1]),
    ):
        runtime = module.open_graph(_folder(folder), device="cpu", precision="fp32", threads=1)
        got = runtime(image)[0]
        assert np.abs(got - expected).max() < largest_step, module.__name__
        assert np.median(np.abs(got - expected)) < 1e-6, module.__name__


def test_onnx_is_in_qdq_form(branches_files):
    model = onnx.load(branches_files[1] / "model.onnx")
    made_by = {name: node for node in model.graph.node for name in node.output}
    constants = {c.name: numpy_helper.to_array(c) for c in model.graph.initializer}
    convs = [node for node in model.graph.node if node.op_type == "Conv"]
    assert len(convs) == 4
    assert all(len(conv.input) == 3 for conv in convs)  # the bias is inside
    for conv in convs:
        source, weight = (made_by[name] for name in conv.input[:2])
        assert source.op_type == weight.op_type == "DequantizeLinear"
        assert made_by[source.input[0]].op_type == "QuantizeLinear"
        assert constants[weight.input[0]].dtype == np.int8
        assert constants[weight.input[0]].shape[0] == constants[weight.input[1]].shape[0]
    kinds = [constants[made_by[made_by[conv.input[0]].input[0]].input[2]].dtype for conv in convs]
    assert sorted(map(str, kinds)) == ["int8", "int8", "int8", "uint8"]


def test_a_bias_beside_tiny_weights_is_kept(tmp_path):
    """ONNX Runtime's int32 biases hold 2**31 products of steps; a dead channel's bias is more."""
    conv, last = nn.Conv2D(3, 2, 1), nn.Conv2D(2, 2, 1)
    weight = np.array([1.0, 1e-12]).reshape(2, 1, 1, 1) * np.ones((2, 3, 1, 1))
    conv.weight.set_value(weight.astype(np.float32))
    conv.bias.set_value(np.array([0.1, 0.7], np.float32))
    for layer, largest in ((conv, 1.0), (last, 4.0)):
        quantize_conv2d(layer, ConvQuantization(InputQuantization(largest, signed=False)))
    network = nn.Sequential(conv, nn.ReLU(), last)
    image = np.random.default_rng(0).uniform(0, 1, (1, 3, 8, 8)).astype(np.float32)
    expected = network(paddle.to_tensor(image)).numpy()
    quantizations = take_quantizations(network)
    save_graph(trace(Graph(network), (8, 8), None), tmp_path)
    convert_to_onnx(tmp_path, quantizations)
    for module in (onnx_runtime, openvino_runtime):
        runtime = module.open_graph(_folder(tmp_path), device="cpu", precision="fp32", threads=1)
        np.testing.assert_allclose(runtime(image), expected, atol=0.02, err_msg=module.__name__)


def test_weights_that_got_lost_in_the_conversion(branches_files):
    model = onnx.load(branches_files[1] / "model.onnx")
    with pytest.raises(ExportError, match="0 quantized convolutions are in the converted model, expected 1"):
        insert_quantizations(model, {"int8_77": ConvQuantization(None)})
