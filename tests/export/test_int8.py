"""Quantized convolutions in exports: exact in every runtime, int8 on disk."""

import copy
import itertools
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import paddle
import pytest
from onnx import numpy_helper
from paddle import nn

from ppose.engine.checkpoint import save_weights
from ppose.engine.load import load_trained
from ppose.engine.task import Task
from ppose.errors import ExportError
from ppose.export.channel_rounding import merge_roundings
from ppose.export.compact_json import compact_graph
from ppose.export.deploy_form import deploy_form
from ppose.export.evaluate import Exported
from ppose.export.export import Options, export_model
from ppose.export.graph import Graph, save_graph, trace
from ppose.export.int8_graph import (
    Levels,
    digest_quantization,
    find_blocks,
    quantized_convolutions,
    use_int8_convolutions,
    without_rounding,
)
from ppose.export.int8_onnx import insert_quantizations, take_quantizations
from ppose.export.onnx_graph import convert_to_onnx
from ppose.inference.model_folder import read_model_folder
from ppose.inference.runtimes import onnx_runtime, open_runtime, openvino_runtime, paddle_runtime
from ppose.models import HRNet, LiteHRNet, PoseResNet, TopDownHRNet
from ppose.slim.calibrate import PTQ, quantize_network
from ppose.slim.qat import clipping_alphas
from ppose.slim.scheme import (
    ConvQuantization,
    InputQuantization,
    mark_quantized,
    quantize_conv2d,
    quantize_weight,
)
from ppose.workspace import load_config

NETWORKS = {
    "HRNet": lambda: TopDownHRNet(HRNet(width=4), num_joints=5, width=4),
    "PoseResNet": lambda: PoseResNet(50, num_joints=5),
    "lite_8": lambda: TopDownHRNet(LiteHRNet("lite_8"), num_joints=5, width=40),
    "lite_30": lambda: TopDownHRNet(LiteHRNet("lite_30"), num_joints=5, width=40),
    "wider_naive": lambda: TopDownHRNet(LiteHRNet("wider_naive"), num_joints=5, width=40),
}


def _randomize(network, image):
    """Random weights and norms; activations stay of order one, by the statistics of one batch."""
    rng = np.random.default_rng(0)
    for parameter in network.parameters():
        values = rng.normal(size=parameter.shape)
        scale = np.sqrt(2 / np.prod(parameter.shape[1:])) if parameter.ndim == 4 else 0.3
        parameter.set_value((values * scale).astype(parameter.numpy().dtype))
    norms = [layer for layer in network.sublayers() if isinstance(layer, nn.BatchNorm2D)]
    for norm in norms:
        norm._momentum = 0.0
        gain = rng.uniform(0.5, 1.5, norm.weight.shape) * rng.choice([-1, 1], norm.weight.shape, p=[0.2, 0.8])
        norm.weight.set_value(gain.astype(norm.weight.numpy().dtype))
    network.train()
    network(image)
    network.eval()
    for norm in norms:
        variance = norm._variance.numpy()
        norm._variance.set_value(np.maximum(variance, variance.mean()) + variance.dtype.type(1e-2))
    return network


@paddle.no_grad()
def _quantize(network, image, kinds):
    """Quantize the convolutions, each in another of the kinds, with the ranges that an image gives."""
    ranges, hooks = {}, []
    convs = [layer for layer in network.sublayers() if isinstance(layer, nn.Conv2D)]
    for conv in convs:
        hooks.append(
            conv.register_forward_pre_hook(lambda c, x: ranges.update({c: (x[0].min(), x[0].abs().max())}))
        )
    network(image)
    for hook in hooks:
        hook.remove()
    rng = np.random.default_rng(3)
    for conv in convs:
        low, largest = (float(value) for value in ranges.get(conv, (0, 1)))
        kind = rng.choice(kinds)
        quantization = {
            "signed": ConvQuantization(InputQuantization(largest)),
            "unsigned": ConvQuantization(InputQuantization(largest, signed=low < 0)),
            "clip": ConvQuantization(InputQuantization(largest, clip=0.6 * largest)),
            "weights": ConvQuantization(None),
            "float": None,
        }[kind]
        if quantization is not None:
            levels, steps = quantize_weight(conv.weight.numpy().astype(np.float64))
            rounded = levels * steps.astype(np.float64).reshape(-1, 1, 1, 1)
            conv.weight.set_value(rounded.astype(conv.weight.numpy().dtype))
            mark_quantized(conv, quantization)


def _distance(got, expected):
    return np.linalg.norm(got - expected) / np.linalg.norm(expected)


ALL_KINDS = ["signed", "unsigned", "clip", "weights", "float"]


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("HRNet", ALL_KINDS),
        pytest.param("PoseResNet", ALL_KINDS, marks=pytest.mark.heavy),
        ("lite_8", ["signed"]),
        ("lite_8", ALL_KINDS),
        ("wider_naive", ALL_KINDS),
    ],
)
@paddle.no_grad()
def test_the_deploy_form_computes_what_the_trained_network_does(name, kinds):
    """In float64, where no rounding falls the other way; another image than that of the ranges."""
    paddle.set_default_dtype("float64")
    try:
        image = paddle.to_tensor(np.random.default_rng(1).normal(size=(2, 3, 64, 64)))
        network = _randomize(NETWORKS[name](), image)
        _quantize(network, image, kinds)
        other = image.flip(axis=3)
        expected = network(other).numpy()
        assert _distance(without_rounding(network)(other).numpy(), expected) > 1e-3
        form = deploy_form(network)
        assert len(quantized_convolutions(form)) > 5
        assert _distance(form(other).numpy(), expected) < 1e-6
    finally:
        paddle.set_default_dtype("float32")


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
        levels, steps = quantize_weight(weight)
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
        weight, steps = quantize_weight(conv.weight.numpy().astype(np.float64))
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
        runtime = module.open_graph(SimpleNamespace(path=folder), device="cpu", precision="fp32", threads=1)
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
        runtime = module.open_graph(SimpleNamespace(path=tmp_path), device="cpu", precision="fp32", threads=1)
        np.testing.assert_allclose(runtime(image), expected, atol=0.02, err_msg=module.__name__)


def test_weights_that_got_lost_in_the_conversion(branches_files):
    model = onnx.load(branches_files[1] / "model.onnx")
    with pytest.raises(ExportError, match="0 quantized convolutions are in the converted model, expected 1"):
        insert_quantizations(model, {"int8_77": ConvQuantization(None)})


def test_a_compact_graph_is_smaller_and_the_same(branches_files, tmp_path):
    image = np.random.default_rng(2).normal(size=(2, 3, 32, 32)).astype(np.float32)
    results = []
    for name in ("model.json", "model.pdiparams"):
        (tmp_path / name).write_bytes((branches_files[0] / name).read_bytes())
    before = (tmp_path / "model.json").stat().st_size
    for _ in range(2):
        folder = SimpleNamespace(path=tmp_path)
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
    folder = SimpleNamespace(path=tmp_path)
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
    levels, steps = quantize_weight(weight.reshape(60, 80, 1, 1))
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
        SimpleNamespace(path=tmp_path), device="cpu", precision="fp32", threads=1, enable_mkldnn=use_onednn
    )
    np.testing.assert_allclose(runtime(image)[0], expected, atol=1e-4)


def test_channels_are_rounded_each_in_its_own_way():
    roundings = [
        ConvQuantization(InputQuantization(1.27)),
        ConvQuantization(InputQuantization(5.1, signed=False, clip=4.0)),
        ConvQuantization(None),
        None,
    ]
    places = [np.array([2]), np.array([0]), np.array([1]), np.array([3])]
    values = np.linspace(-6, 6, 241, dtype=np.float32) + np.float32(1e-3)
    image = paddle.to_tensor(np.tile(values, (1, 4, 1))[..., None])
    rounding = merge_roundings(roundings, places, channels=5)
    image = paddle.concat([image, image[:, :1]], axis=1)
    got = rounding(image).numpy()[0, :, :, 0]
    for channel, quantization in ((2, roundings[0].input), (0, roundings[1].input)):
        np.testing.assert_allclose(got[channel], quantization(paddle.to_tensor(values)).numpy(), atol=1e-6)
    for channel in (1, 3, 4):
        np.testing.assert_array_equal(got[channel], values)
    assert merge_roundings([None, ConvQuantization(None)], places[:2], channels=5) is None


def test_the_checksum_is_of_weights_and_roundings(branches):
    digest = digest_quantization(branches)
    changed = without_rounding(branches)
    assert digest_quantization(changed) == digest
    mark_quantized(changed.last, ConvQuantization(InputQuantization(0.5, signed=False)))
    assert digest_quantization(changed) != digest
    assert digest_quantization(nn.Conv2D(3, 3, 1)) is None


def _make_task(folder: Path, network_type: str) -> tuple[Task, nn.Layer]:
    """A task of a small image, and its network, quantized in every way."""
    file = folder / "model_final.pdparams"
    overrides = ["trainsize=[64,64]", "hmsize=[16,16]", f"LiteHRNet.network_type={network_type}"]
    task = Task(load_config("configs/lite_hrnet_18_256x192_coco.yml", [*overrides, f"weights={file}"]))
    image = paddle.to_tensor(np.random.default_rng(1).normal(size=(4, 3, 64, 64)).astype(np.float32))
    save_weights(_randomize(task.model(), image), file)
    network = load_trained(task)
    _quantize(network, image, ALL_KINDS)
    return task, network


def _check_export(tmp_path, network_type, options):
    task, network = _make_task(tmp_path, network_type)
    folder = tmp_path / "exported"
    for kind in ("paddle", "onnx"):
        report = export_model(task, "small", folder, replace(options, format=kind), trained=network)
        assert report.difference < 0.02
    model = read_model_folder(folder)
    assert model.is_int8
    assert set(model.files) == {"model.json", "model.pdiparams", "model.onnx"}
    pixels = np.random.default_rng(2).integers(0, 256, (2, 3, 64, 64), np.uint8)
    mean, deviation = (np.reshape(v, (3, 1, 1)) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    image = ((pixels / 255 - mean) / deviation).astype(np.float32)
    with paddle.no_grad():
        expected = network(paddle.to_tensor(image)).numpy()
    for name in ("paddle", "onnxruntime", "openvino"):
        got = Exported(model, open_runtime(model, name))(pixels if options.fuse_normalize else image)
        assert _distance(got, expected) < 0.02, name


def test_an_export_is_int8_in_every_runtime(tmp_path):
    _check_export(tmp_path, "lite_8", Options(batch=2, fuse_normalize=True))


def test_a_network_trained_for_eight_bits_is_exported_in_them(tmp_path):
    """The weights of a `slim: QAT` config, after a step with PACT's alphas where half of them cut inputs."""
    overrides = ["trainsize=[64,64]", "hmsize=[16,16]", "LiteHRNet.network_type=lite_8"]
    file = tmp_path / "model_final.pdparams"
    task = Task(load_config("configs/lite_hrnet_30_256x192_coco_pact.yml", [*overrides, f"weights={file}"]))
    image = paddle.to_tensor(np.random.default_rng(1).normal(size=(4, 3, 64, 64)).astype(np.float32))
    network = _randomize(task.model(), image)
    task.quantization.wrap(network)
    network.train()
    network(image)
    network.eval()
    for number, alpha in enumerate(clipping_alphas(network).values()):
        alpha.set_value(paddle.full([1], 2.0 if number % 2 else 100.0))
    save_weights(network, file)
    report = export_model(task, "small", tmp_path / "exported", Options())
    assert report.model.is_int8
    exported = Exported(report.model, open_runtime(report.model, "paddle"))
    with paddle.no_grad():
        expected = load_trained(task)(image).numpy()
    assert _distance(exported(image.numpy()), expected) < 0.05


@pytest.mark.heavy
@pytest.mark.parametrize("network_type", ["lite_30", "wider_naive"])
def test_exports_of_larger_networks(tmp_path, network_type):
    _check_export(tmp_path, network_type, Options())


@pytest.mark.heavy
@pytest.mark.parametrize("depthwise", [True, False])
@pytest.mark.parametrize(
    ("config", "largest"), [("lite_hrnet_30_256x192_coco", 3.8e6), ("hrnet_w32_256x192", 30e6)]
)
def test_size_of_int8_folders(tmp_path, config, largest, depthwise):
    """In Paddle's format, `infer_cfg.yml` included; with the depthwise convolutions in int8 or in float."""
    if config.startswith("hrnet") and not depthwise:
        pytest.skip("HRNet has no depthwise convolutions")
    file = tmp_path / "model_final.pdparams"
    task = Task(load_config(f"configs/{config}.yml", [f"weights={file}"]))
    width, height = task.codec.input_size
    image = paddle.to_tensor(np.random.default_rng(1).normal(size=(2, 3, height, width)).astype(np.float32))
    save_weights(_randomize(task.model(), image), file)
    network = quantize_network(load_trained(task), [image], PTQ(depthwise=depthwise))
    report = export_model(task, config, tmp_path / "exported", Options(), trained=network)
    size = sum(path.stat().st_size for path in report.model.path.iterdir())
    assert size <= largest
