"""A small quantized network and its graphs."""

import copy

import numpy as np
import paddle
import pytest
from paddle import nn

from ppose.export.graph import Graph, save_graph, trace
from ppose.export.onnx_graph import convert_to_onnx
from ppose.quantization.int8_graph import use_int8_convolutions
from ppose.quantization.int8_onnx import take_quantizations
from ppose.quantization.scheme import ConvQuantization, InputQuantization, mark_quantized, quantize_weight


class _Branches(nn.Layer):
    """What was wrong in a runtime or in a conversion: twins, a concatenation, many kinds of rounding."""

    def __init__(self):
        super().__init__()
        self.twins = nn.LayerList([nn.Conv2D(3, 8, 3, stride=2, padding=1) for _ in range(2)])
        self.depthwise = nn.Conv2D(16, 16, 3, padding=1, groups=16)
        self.last = nn.Conv2D(16, 4, 1)

    def forward(self, image):
        return _run(self, image)


@paddle.jit.not_to_static
def _run(network, image):
    first, second = (twin(image) for twin in network.twins)
    x = paddle.concat([first, second], axis=1)
    return network.last(nn.functional.relu(network.depthwise(x)))


@pytest.fixture(scope="module")
def branches():
    paddle.seed(3)
    network = _Branches()
    network.twins[1].weight.set_value(network.twins[0].weight)  # equal weights, rounded differently
    for conv, rounding in (
        (network.twins[0], InputQuantization(2.0)),
        (network.twins[1], InputQuantization(3.0, clip=1.1)),
        (network.depthwise, InputQuantization(1.5)),
        (network.last, InputQuantization(0.4, signed=False)),
    ):
        weight = conv.weight.numpy().astype(np.float64)
        levels, steps = quantize_weight(weight, "portable")
        conv.weight.set_value(levels * steps.reshape(-1, 1, 1, 1))
        conv.bias.set_value(np.random.default_rng(0).normal(0, 0.1, conv.bias.shape).astype(np.float32))
        mark_quantized(conv, ConvQuantization(rounding))
    network.eval()
    return network


@pytest.fixture(scope="module")
def branches_files(branches, tmp_path_factory):
    """The network's folders as Paddle's graph and ONNX."""
    folders = [tmp_path_factory.mktemp(name) for name in ("paddle", "onnx")]
    form = copy.deepcopy(branches)
    use_int8_convolutions(form)
    save_graph(trace(Graph(form), (32, 32), None), folders[0])
    form = copy.deepcopy(branches)
    quantizations = take_quantizations(form)
    save_graph(trace(Graph(form), (32, 32), None), folders[1])
    convert_to_onnx(folders[1], quantizations)
    return folders
