"""Int8 graphs for Paddle are small: nothing is written twice, and no zeros between blocks."""

from types import SimpleNamespace

import numpy as np
import paddle
import pytest
from paddle import nn

from ppose.export.compact_json import compact_graph
from ppose.export.graph import Graph, save_graph, trace
from ppose.inference.runtimes import paddle_runtime
from ppose.quantization.int8_graph import Levels, find_blocks, use_int8_convolutions
from ppose.quantization.scheme import ConvQuantization, InputQuantization, quantize_conv2d, quantize_weight


def _folder(path):
    """What a runtime asks of a model's folder."""
    return SimpleNamespace(
        path=path, paddle_files=(path / "model.json", path / "model.pdiparams"), published=None
    )


def test_a_compact_graph_is_smaller_and_the_same(branches_files, tmp_path):
    image = np.random.default_rng(2).normal(size=(2, 3, 32, 32)).astype(np.float32)
    results = []
    for name in ("model.json", "model.pdiparams"):
        (tmp_path / name).write_bytes((branches_files[0] / name).read_bytes())
    before = (tmp_path / "model.json").stat().st_size
    for _ in range(2):
        folder = _folder(tmp_path)
        results.append(paddle_runtime.open_graph(folder, device="cpu", precision="fp32", threads=1)(image))
        compact_graph(tmp_path / "model.json")
    np.testing.assert_array_equal(*results)
    assert (tmp_path / "model.json").stat().st_size < 0.8 * before


def test_equal_roundings_of_a_map_are_one(tmp_path):
    """Three convolutions of one map, two of which round it in the same way."""
    network = nn.Sequential(_Three())
    save_graph(trace(Graph(network), (8, 8), None), tmp_path)
    counts = []
    for _ in range(2):
        text = (tmp_path / "model.json").read_text()
        counts.append([text.count(f'"#":"1.{kind}"') for kind in ("floor", "clip", "conv2d")])
        compact_graph(tmp_path / "model.json")
    assert counts == [[3, 3, 3], [2, 2, 3]]
    image = np.random.default_rng(0).normal(size=(1, 3, 8, 8)).astype(np.float32)
    folder = _folder(tmp_path)
    for use_onednn in (True, False):
        runtime = paddle_runtime.open_graph(
            folder, device="cpu", precision="fp32", threads=1, enable_mkldnn=use_onednn
        )
        np.testing.assert_allclose(runtime(image), network(paddle.to_tensor(image)).numpy(), atol=1e-5)


class _Three(nn.Layer):
    def __init__(self):
        super().__init__()
        self.convs = nn.LayerList([nn.Conv2D(3, 4, 1) for _ in range(3)])
        for conv, largest in zip(self.convs, (1.0, 2.0, 1.0), strict=True):
            quantize_conv2d(conv, ConvQuantization(InputQuantization(largest)))
        use_int8_convolutions(self)

    def forward(self, image):
        first, second, third = (conv(image) for conv in self.convs)
        return first + 2 * second + 3 * third


def test_blocks_are_what_nonzeros_connect():
    """Two blocks, one with a zero inside; an output and an input without any nonzero."""
    filled = np.zeros((5, 6), bool)
    filled[np.ix_([0, 3], [1, 4])] = True
    filled[0, 4] = False  # inside a block, since 3 goes to 4 and to 1
    filled[np.ix_([1, 4], [0, 2, 5])] = True
    outputs, inputs = find_blocks(filled)
    expected = filled.copy()
    expected[0, 4] = True
    np.testing.assert_array_equal(outputs[:, None] == inputs, expected)


@pytest.mark.parametrize("use_onednn", [True, False])
def test_weights_of_blocks_are_stored_without_the_zeros_between(tmp_path, use_onednn):
    """Shuffled block-diagonal weights in Paddle Inference, against the product by hand."""
    rng = np.random.default_rng(0)
    weight = np.zeros((60, 80))
    weight[:20, :30] = rng.normal(size=(20, 30))
    weight[20:50, 30:70] = rng.normal(size=(30, 40))
    weight = weight[np.ix_(rng.permutation(60), rng.permutation(80))]
    levels, steps = quantize_weight(weight.reshape(60, 80, 1, 1), "portable")
    packed = Levels(levels)
    np.testing.assert_array_equal(packed().numpy(), levels)
    assert packed.values.shape == [20 * 30 + 30 * 40]
    conv = nn.Conv2D(80, 60, 1)
    conv.weight.set_value(weight.reshape(60, 80, 1, 1).astype(np.float32))
    first = nn.Conv2D(3, 80, 1)
    quantize_conv2d(conv, ConvQuantization(None))
    network = nn.Sequential(first, conv)
    use_int8_convolutions(network)
    save_graph(trace(Graph(network), (4, 4), None), tmp_path)
    compact_graph(tmp_path / "model.json")
    image = rng.normal(size=(1, 3, 4, 4)).astype(np.float32)
    rounded = levels[..., 0, 0] * steps[:, None]
    expected = np.einsum("oi,ihw->ohw", rounded, first(paddle.to_tensor(image)).numpy()[0])
    expected += conv.bias.numpy()[:, None, None]
    runtime = paddle_runtime.open_graph(
        _folder(tmp_path), device="cpu", precision="fp32", threads=1, enable_mkldnn=use_onednn
    )
    np.testing.assert_allclose(runtime(image)[0], expected, atol=1e-4)
