"""Int8 exports: the heatmaps of the quantized network in every runtime, int8 on disk."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import paddle
import pytest
from paddle import nn
from quantized_networks import ALL_KINDS, distance, quantize, randomize

from ppose.engine.load import load_trained
from ppose.engine.task import Task
from ppose.errors import DeviceError, ExportError
from ppose.export.export import Options, export_model
from ppose.inference.model_folder import read_model_folder
from ppose.inference.predictor import Predictor
from ppose.inference.runtimes import open_runtime
from ppose.inference.runtimes.openvino_runtime import OpenVinoRuntime
from ppose.processor import check_bf16
from ppose.quantization.calibrate import PTQ, quantize_network
from ppose.quantization.qat import clipping_alphas
from ppose.weights.checkpoint import save_weights
from ppose.workspace import load_config


def find_heatmaps(model, image, **options):
    """Of an image batch, in a runtime."""
    warp = np.zeros((len(image), 2, 3))
    return Predictor(model.spec, open_runtime(model, **options)).find_heatmaps({"image": image, "warp": warp})


def _make_task(folder: Path, network_type: str) -> tuple[Task, nn.Layer]:
    """A task of a small image, and its network, quantized in every way."""
    file = folder / "model_final.pdparams"
    overrides = ["trainsize=[64,64]", "hmsize=[16,16]", f"LiteHRNet.network_type={network_type}"]
    task = Task(load_config("configs/lite_hrnet_18_256x192_coco.yml", [*overrides, f"weights={file}"]))
    image = paddle.to_tensor(np.random.default_rng(1).normal(size=(4, 3, 64, 64)).astype(np.float32))
    save_weights(randomize(task.model(), image), file)
    network = load_trained(task)
    quantize(network, image, ALL_KINDS)
    return task, network


def _check_export(tmp_path, network_type, options):
    """Returns the exported model, an image for it, and the quantized network's heatmaps."""
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
    given = pixels if options.fuse_normalize else image
    for name in ("paddle", "onnxruntime", "openvino"):
        got = find_heatmaps(model, given, runtime=name)
        assert distance(got, expected) < 0.02, name
    return model, given, expected


def test_an_export_is_int8_in_every_runtime(tmp_path, caplog):
    model, image, expected = _check_export(tmp_path, "lite_8", Options(batch=2, fuse_normalize=True))
    try:
        check_bf16()
    except DeviceError:
        return
    caplog.set_level("INFO", "ppose")
    got = find_heatmaps(model, image, runtime="openvino", precision="bf16")
    assert ", int8 and bf16, " in caplog.messages[-1]
    assert 1e-3 < distance(got, expected) < 0.05


def test_full_range_that_is_off_where_it_saturates_is_reported_with_the_way_out(tmp_path, monkeypatch):
    monkeypatch.setattr("ppose.inference.model_folder.saturates_int8", lambda: True)
    distances = iter([0.1, 0.5])  # of rounding, and of the first runtime
    monkeypatch.setattr("ppose.export.export._distance", lambda heatmaps, expected: next(distances))
    image = paddle.to_tensor(np.random.default_rng(1).normal(size=(2, 3, 64, 64)).astype(np.float32))
    task, _ = _make_task(tmp_path, "lite_8")
    network = quantize_network(load_trained(task), [image], PTQ(weights="full"))
    with pytest.raises(
        ExportError, match=r"off by 5\.0e-01 .*nothing was written: .* without VNNI .*; export with PTQ"
    ):
        export_model(task, "small", tmp_path / "exported", Options(format="onnx"), trained=network)


def test_a_runtime_that_computes_eight_bits_wrong_is_an_error(tmp_path, monkeypatch):
    """As OpenVINO did with a quantized convolution that several operators take."""
    run = OpenVinoRuntime.__call__
    monkeypatch.setattr(OpenVinoRuntime, "__call__", lambda self, *inputs: 0.3 * run(self, *inputs))
    image = paddle.to_tensor(np.random.default_rng(1).normal(size=(2, 3, 64, 64)).astype(np.float32))
    task, _ = _make_task(tmp_path, "lite_8")
    network = quantize_network(load_trained(task), [image], PTQ())
    with pytest.raises(
        ExportError, match=r"off by 7\.0e-01 of the trained network's in openvino, .* nothing"
    ):
        export_model(task, "small", tmp_path / "exported", Options(format="onnx"), trained=network)
    assert not (tmp_path / "exported").exists()


def test_a_network_trained_for_eight_bits_is_exported_in_them(tmp_path):
    """The weights of a `slim: QAT` config, after a step with PACT's alphas where half of them cut inputs."""
    overrides = ["trainsize=[64,64]", "hmsize=[16,16]", "LiteHRNet.network_type=lite_8"]
    file = tmp_path / "model_final.pdparams"
    task = Task(load_config("configs/lite_hrnet_30_256x192_coco_pact.yml", [*overrides, f"weights={file}"]))
    image = paddle.to_tensor(np.random.default_rng(1).normal(size=(4, 3, 64, 64)).astype(np.float32))
    network = randomize(task.model(), image)
    task.quantization.wrap(network)
    network.train()
    network(image)
    network.eval()
    for number, alpha in enumerate(clipping_alphas(network).values()):
        alpha.set_value(paddle.full([1], 2.0 if number % 2 else 100.0))
    save_weights(network, file)
    report = export_model(task, "small", tmp_path / "exported", Options())
    assert report.model.is_int8
    with paddle.no_grad():
        expected = load_trained(task)(image).numpy()
    # Noise of 1e-7 on the image: 0.06 to 0.12. Signed where it was unsigned: 0.25; without clipping: 1.
    assert distance(find_heatmaps(report.model, image.numpy(), runtime="paddle"), expected) < 0.15


@pytest.mark.heavy
def test_the_decoding_in_a_graph_stays_in_float(tmp_path):
    onnx = pytest.importorskip("onnx")
    task, network = _make_task(tmp_path, "lite_8")
    options = Options(format="onnx", decode_in_graph=True)
    report = export_model(task, "small", tmp_path / "exported", options, trained=network)
    assert report.model.is_int8
    assert report.decoding < 1e-3
    nodes = onnx.load(tmp_path / "exported" / "model.onnx").graph.node
    kinds = [node.op_type for node in nodes]
    eight_bits = ("QuantizeLinear", "DequantizeLinear")
    rounded = {name for node in nodes if node.op_type in eight_bits for name in node.output}
    assert rounded
    takers = {node.op_type for node in nodes if rounded & set(node.input)}
    assert takers == {"Conv", "DequantizeLinear"}
    last = max(index for index, kind in enumerate(kinds) if kind in eight_bits)
    assert last < kinds.index("ArgMax")


@pytest.mark.heavy
@pytest.mark.parametrize("network_type", ["lite_30"])
def test_exports_of_larger_networks(tmp_path, network_type):
    _check_export(tmp_path, network_type, Options())


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("config", "depthwise", "largest"),
    [
        ("lite_hrnet_30_256x192_coco", True, 3.8e6),
        ("lite_hrnet_30_256x192_coco", False, 3.8e6),
    ],
)
def test_size_of_int8_folders(tmp_path, config, depthwise, largest):
    """In Paddle's format, `infer_cfg.yml` included; with the depthwise convolutions in int8 or in float."""
    file = tmp_path / "model_final.pdparams"
    task = Task(load_config(f"configs/{config}.yml", [f"weights={file}"]))
    width, height = task.codec.input_size
    image = paddle.to_tensor(np.random.default_rng(1).normal(size=(2, 3, height, width)).astype(np.float32))
    save_weights(randomize(task.model(), image), file)
    network = quantize_network(load_trained(task), [image], PTQ(depthwise=depthwise))
    report = export_model(task, config, tmp_path / "exported", Options(), trained=network)
    size = sum(path.stat().st_size for path in report.model.path.iterdir())
    assert size <= largest
