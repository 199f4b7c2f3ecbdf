"""An export from end to end: the exported network is the trained one, in every runtime."""

import resource
from dataclasses import replace

import numpy as np
import paddle
import pytest

from ppose.engine.load import load_trained
from ppose.engine.task import Task
from ppose.errors import ConfigError, DataError, ExportError
from ppose.export import export
from ppose.export.export import Options, export_model
from ppose.export.graph import Graph, check_room, count_operators, trace
from ppose.export.onnx_graph import convert_graph
from ppose.export.paddle_2 import check_paddle_2, paddle_2_graphs
from ppose.inference.model_folder import read_model_folder
from ppose.inference.predictor import Predictor
from ppose.inference.runtimes import open_runtime
from ppose.models import flip_test
from ppose.weights.checkpoint import save_weights
from ppose.workspace import load_config

SMALL = ["trainsize=[64,64]", "hmsize=[16,16]", "LiteHRNet.network_type=lite_8"]
CONFIG = "configs/lite_hrnet_18_256x192_coco.yml"


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    """A small Lite-HRNet whose weights and statistics are far from those of a new one."""
    file = tmp_path_factory.mktemp("weights") / "model_final.pdparams"
    task = Task(load_config(CONFIG, [*SMALL, f"weights={file}"]))
    network, rng = task.model(), np.random.default_rng(0)
    for name, tensor in network.state_dict().items():
        if name.endswith("_variance") or (tensor.ndim == 1 and name.endswith("weight")):
            value = rng.uniform(0.8, 1.2, tensor.shape)
        elif tensor.ndim == 4:
            value = rng.standard_normal(tensor.shape) / np.sqrt(np.prod(tensor.shape[1:]))
        else:
            value = rng.standard_normal(tensor.shape) * 0.1
        tensor.set_value(value.astype(np.float32))
    save_weights(network, file)
    return task


def _expected(task, pixels, flips):
    """Heatmaps of pixels (N, H, W, 3) by the trained network, normalised by hand."""
    model = load_trained(task)
    image = (pixels / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    image = paddle.to_tensor(image.transpose(0, 3, 1, 2).astype(np.float32))
    with paddle.no_grad():
        if flips:
            return flip_test(model, image, task.keypoint_set.flip_pairs, True).numpy(), image.numpy()
        return model(image).numpy(), image.numpy()


@pytest.mark.parametrize("batch", [None, 2])
def test_every_runtime_gives_the_trained_networks_heatmaps(task, tmp_path, batch):
    """Plain with any batch; with a static one: normalisation and flip test in the graph."""
    inside = batch is not None
    options = Options(batch=batch, fuse_normalize=inside, flip_test=inside)
    for kind in ("paddle", "onnx"):
        report = export_model(task, "small", tmp_path, replace(options, format=kind))
        assert report.difference < 1e-4
    assert report.operators["onnx"] < report.operators["exported"] < report.operators["trained"]
    model = read_model_folder(tmp_path)
    assert set(model.files) == {"model.json", "model.pdiparams", "model.onnx"}
    assert {file.name for file in tmp_path.iterdir()} == {*model.files, "infer_cfg.yml"}
    assert (model.spec.batch, model.spec.flip_test) == (batch, inside)
    assert model.spec.input_dtype == ("uint8" if inside else "float32")
    transforms = [
        name for spec in model.spec.sample_transforms + model.spec.batch_transforms for name in spec
    ]
    assert transforms == ["TopDownEvalAffine", *([] if inside else ["NormalizeImage"]), "Permute"]

    pixels = np.random.default_rng(1).integers(0, 256, (3, 64, 64, 3), np.uint8)
    expected, image = _expected(task, pixels, inside)
    given = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)) if inside else image
    for name in ("paddle", "onnxruntime", "openvino"):
        exported = Predictor(model.spec, open_runtime(model, name))
        for count in (1, 2) if inside else (1, 3, 2):
            warp = np.zeros((count, 2, 3))
            got = exported.find_heatmaps({"image": given[:count], "warp": warp})
            assert got.dtype == np.float32
            difference = np.linalg.norm(got - expected[:count]) / np.linalg.norm(expected[:count])
            assert difference < 1e-4, (name, count)
        edited = replace(
            model, spec=replace(model.spec, batch=None if inside else 2)
        )  # by somebody, in infer_cfg.yml
        says, takes = ("null", "2") if inside else ("2", "null")
        with pytest.raises(ConfigError, match=f"infer_cfg.yml: batch is {says}.*takes {takes}.*export again"):
            open_runtime(edited, name)


def test_paddle_2s_graph(task, tmp_path):
    """Alone in its folder it runs in Paddle Inference; what Paddle Lite cannot do is refused."""
    options = Options(format="pdmodel", batch=2, fuse_normalize=True, flip_test=True)
    assert export_model(task, "small", tmp_path, options).difference < 1e-4
    model = read_model_folder(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {"model.pdmodel", "model.pdiparams", "infer_cfg.yml"}
    pixels = np.random.default_rng(1).integers(0, 256, (2, 64, 64, 3), np.uint8)
    expected, _ = _expected(task, pixels, True)
    given = {"image": np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)), "warp": np.zeros((2, 2, 3))}
    got = Predictor(model.spec, open_runtime(model)).find_heatmaps(given)
    assert np.linalg.norm(got - expected) < 1e-4 * np.linalg.norm(expected)
    with pytest.raises(DataError, match=r"no model\.json\+model\.pdiparams, which TensorRT in Paddle reads"):
        open_runtime(model, "paddle", device="gpu", tensorrt_batch=1)
    with pytest.raises(ConfigError, match="--format pdmodel takes no --decode_in_graph"):
        check_paddle_2(decodes=True, is_int8=False)
    with pytest.raises(ConfigError, match="this one is quantized"):
        check_paddle_2(decodes=False, is_int8=True)
    assert paddle.matmul(paddle.eye(2), paddle.eye(2)).shape == [2, 2]  # and Paddle is as it was
    assert paddle.in_dynamic_mode()
    assert paddle.get_flags("FLAGS_enable_pir_api")["FLAGS_enable_pir_api"]


def test_a_network_that_no_graph_of_paddle_2_holds():
    class Strange(paddle.nn.Layer):
        def forward(self, image):
            return paddle.sin(image)  # Paddle 3.2 has it for its own graphs alone

    with (
        pytest.raises(ExportError, match=r"--format pdmodel: Paddle cannot write .* must be Value"),
        paddle_2_graphs(),
    ):
        count_operators(trace(Graph(Strange()), (8, 8), None))


def test_a_wrong_export_is_refused_and_the_earlier_one_stays(task, tmp_path, monkeypatch):
    export_model(task, "small", tmp_path, Options())
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    right = export.deploy_form

    def deform(model):
        form = right(model)
        form.final_conv.bias.set_value(form.final_conv.bias + 1)
        return form

    monkeypatch.setattr(export, "deploy_form", deform)
    with pytest.raises(ExportError, match=r"heatmaps are off by .* expected at most 1\.0e-04"):
        export_model(task, "small", tmp_path, Options())
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_a_file_that_may_have_been_cut_short(tmp_path):
    """Paddle and paddle2onnx leave half a file where no more can be written, and say nothing."""
    folder = tmp_path / "small" / ".export"
    folder.mkdir(parents=True)
    (folder / "model.json").write_bytes(bytes(100_000))
    check_room(folder)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            check_room(folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.filename == str(folder.parent)
    assert [file.name for file in folder.iterdir()] == ["model.json"]


def test_a_graph_that_cannot_be_converted(tmp_path):
    """paddle2onnx ends its process; ours says why."""

    class Strange(paddle.nn.Layer):
        def forward(self, image):
            return image.chunk(2, axis=0)[0]

    spec = paddle.static.InputSpec([None, 3, 8, 8], "float32", name="image")
    static = paddle.jit.to_static(Strange(), input_spec=[spec], full_graph=True)
    paddle.jit.save(static, str(tmp_path / "model"))
    with pytest.raises(ExportError, match=r"paddle2onnx cannot convert the network: .*split"):
        convert_graph(tmp_path / "model.json", tmp_path / "model.pdiparams", tmp_path / "model.onnx")


def test_a_reader_without_a_normalisation(task, tmp_path):
    changed = Task(load_config(CONFIG, [*SMALL, "TestReader.batch_transforms=[Permute]"]))
    with pytest.raises(ConfigError, match="TestReader has 0 NormalizeImage, expected one"):
        export_model(changed, "small", tmp_path, Options())
    with pytest.raises(ConfigError, match="--batch is 0"):
        export_model(task, "small", tmp_path, Options(batch=0))
