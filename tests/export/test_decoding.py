"""Graphs that decode: their keypoints are those that the codecs find in numpy."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import paddle
import pytest

from ppose.codecs import MSRAHeatmap, UDPHeatmap
from ppose.engine.evaluate import evaluate
from ppose.engine.task import Task
from ppose.errors import ConfigError, ExportError
from ppose.export.check_decoding import compare_decoding
from ppose.export.decoding import Decoding
from ppose.export.evaluate import open_exported
from ppose.export.export import Options, export_model
from ppose.export.graph import Graph, save_graph, trace
from ppose.export.onnx_graph import convert_to_onnx
from ppose.export.triton import write_triton
from ppose.files import file_digest
from ppose.inference.model_folder import INFER_CFG, read_model_folder, write_infer_cfg
from ppose.inference.predictor import Predictor
from ppose.inference.runtimes import open_runtime
from ppose.workspace import load_config

ROOT = Path(__file__).resolve().parents[2]
SIZES = ((192, 256), (48, 64))
CODECS = {
    "quarter": MSRAHeatmap(*SIZES),
    "peak": MSRAHeatmap(*SIZES, peak=255.0),
    "dark": MSRAHeatmap(*SIZES, use_dark=True),
    "dark, sigma 3": MSRAHeatmap(*SIZES, sigma=3.0, use_dark=True),
    "udp": UDPHeatmap(*SIZES),
    "udp, sigma 1": UDPHeatmap(*SIZES, sigma=1.0),
}
WARP = np.array([[0.9, 0.2, 30.0], [-0.1, 1.1, -7.0]], np.float32)


def decode(codec, maps):
    """Keypoints in input pixels and scores by the operators of the graph, as they are run by Paddle."""
    identity = np.broadcast_to(np.eye(2, 3, dtype=np.float32), (len(maps), 2, 3))
    found = Decoding(codec)(paddle.to_tensor(maps), paddle.to_tensor(identity)).numpy()
    return found[..., :2], found[..., 2]


def distances(codec, maps):
    """How far the two are apart, (N, K), in input pixels."""
    before = maps.copy()
    (points, scores), (expected, of_codec) = decode(codec, maps), codec.decode(maps)
    np.testing.assert_array_equal(maps, before)
    np.testing.assert_allclose(scores, of_codec, rtol=1e-6)
    return np.abs(points - expected).max(axis=-1)


@pytest.fixture(scope="module")
def gaussians():
    """Maps (8, 15, 64, 48) of keypoints also outside of the map."""
    points = np.random.default_rng(0).uniform(-5, 260, (120, 2))
    maps = MSRAHeatmap(*SIZES, unbiased=True).encode(points, np.ones(120))[0]
    return maps.reshape(8, 15, 64, 48)


@pytest.mark.parametrize("name", CODECS)
def test_maps_of_keypoints(gaussians, name):
    """Also low ones, which UDP cuts at 0.001, and high ones, which it cuts at 50."""
    for height in (1, 255, 0.02, 0.004):
        noise = np.random.default_rng(1).normal(0, 1e-3 * height, gaussians.shape)
        off = distances(CODECS[name], (height * gaussians + noise).astype(np.float32))
        # Maps of noise alone, of keypoints outside, have a few where DARK divides by next to nothing.
        assert np.quantile(off, 0.97) < 1e-3
        assert distances(CODECS[name], height * gaussians).max() < 1e-3


@pytest.mark.parametrize("name", CODECS)
def test_maps_of_noise(name):
    off = distances(CODECS[name], np.random.default_rng(2).normal(size=(8, 15, 64, 48)).astype(np.float32))
    assert np.quantile(off, 0.9) < 1e-3
    if name in ("quarter", "peak"):
        assert off.max() < 1e-4


@pytest.mark.parametrize("name", CODECS)
def test_peaks_along_the_border_and_two_of_them(name):
    places = [(x, y) for x in (0, 1, 2, 20, 45, 46, 47) for y in (0, 1, 2, 30, 61, 62, 63)]
    maps = np.random.default_rng(3).uniform(0.2, 0.4, (1, len(places), 64, 48)).astype(np.float32)
    for heatmap, (x, y) in zip(maps[0], places, strict=True):
        heatmap[y, x] = 1
    assert np.quantile(distances(CODECS[name], maps), 0.9) < 1e-3
    for heatmap, (x, y) in zip(maps[0], places[::-1], strict=True):
        heatmap[y, x] = 1  # as high, before it or behind it
    off = distances(CODECS[name], maps)
    assert np.quantile(off, 0.9) < 1e-3
    assert off.max() < 0.05


@pytest.mark.parametrize("name", CODECS)
def test_maps_without_a_peak(name):
    maps = np.zeros((1, 10, 64, 48), np.float32)
    maps[0, 1] = -1
    maps[0, 2] = 0.5
    maps[0, 3] = 60  # above what UDP cuts at
    maps[0, 4, 10:30, 10:30] = 1
    maps[0, 5, 10:30, 10:30] = 80
    maps[0, 6] = -1
    maps[0, 6, 30, 20] = 1e-6
    maps[0, 7, :, 20] = maps[0, 8, 20, :] = 1  # lines, along which nothing changes
    maps[0, 9, 63, 47] = 1
    assert distances(CODECS[name], maps).max() < 1e-3
    maps[0, 0], maps[0, 1, 3, 4] = np.nan, np.inf
    assert np.isfinite(decode(CODECS[name], maps)[0]).all()


def test_a_codec_of_somebody_else(gaussians):
    class Own:
        heatmap_size = (48, 64)

    with pytest.raises(ExportError, match="the codec Own cannot decode in a graph: leave out"):
        Decoding(Own())


@pytest.fixture(scope="module")
def decoding_dir(make_two_colours, model_dir, tmp_path_factory):
    """`model_dir`'s network with DARK's decoding in its graph, in both formats."""
    folder = tmp_path_factory.mktemp("decodes") / "two_colours"
    folder.mkdir()
    plain = read_model_folder(model_dir)
    codec = replace(plain.spec.codec, use_dark=True)
    graph = trace(Graph(make_two_colours()).with_decoding(Decoding(codec)), plain.spec.input_size, None)
    save_graph(graph, folder)
    convert_to_onnx(folder, output="keypoints")
    files = {name: file_digest(folder / name) for name in plain.files}
    spec = replace(plain.spec, codec=codec, decode_in_graph=True)
    write_infer_cfg(replace(plain, path=folder, spec=spec, files=files))
    return folder


def keypoints_of(poses):
    return np.array([pose.to_array() for pose in poses])


@pytest.mark.parametrize("runtime", ["paddle", "onnxruntime", "openvino"])
def test_its_poses_are_the_predictors(model_dir, decoding_dir, crowd, runtime):
    """Of one person, of several at once, and in a fixed batch that is not full."""
    image, _, boxes = crowd
    image = (image + np.random.default_rng(0).integers(0, 20, image.shape)).astype(np.uint8)
    expected = Predictor.from_dir(model_dir, runtime=runtime, cpu_threads=1, use_dark=True)(image, boxes)
    folder = read_model_folder(decoding_dir)
    opened = open_runtime(folder, runtime, cpu_threads=1)
    for size, batch in ((16, None), (1, None), (16, 5)):
        predictor = Predictor(replace(folder.spec, batch=batch), opened, batch_size=size)
        found = predictor(image, boxes)
        np.testing.assert_allclose(keypoints_of(found), keypoints_of(expected), atol=1e-3)
        assert found[0].scores.dtype == expected[0].scores.dtype
    shifts = keypoints_of(Predictor.from_dir(model_dir, runtime=runtime, cpu_threads=1)(image, boxes))
    assert np.abs(shifts - keypoints_of(found)).max() > 0.1


def test_what_it_has_not_is_an_error(decoding_dir):
    predictor = Predictor.from_dir(decoding_dir, runtime="onnxruntime", use_dark=True)
    with pytest.raises(ConfigError, match="gives keypoints and no heatmaps: export without"):
        predictor.find_heatmaps({})
    with pytest.raises(ConfigError, match="use_dark is False, but the exported graph decodes in"):
        Predictor.from_dir(decoding_dir, runtime="onnxruntime", use_dark=False)
    with pytest.raises(ConfigError, match="decodes in its graph, where 16 bits are too few"):
        Predictor.from_dir(decoding_dir, runtime="openvino", precision="bf16")
    with pytest.raises(ConfigError, match="TensorRT has not been tried; export without"):
        Predictor.from_dir(decoding_dir, runtime="paddle", tensorrt_batch=1)


def test_infer_cfg_says_so(decoding_dir, model_dir):
    text = " ".join((decoding_dir / INFER_CFG).read_text().split())
    for said in (
        "decode_in_graph: true",
        "output_name: keypoints",
        "tensor inverse_warp, (N, 2, 3) float32",
        "tensor keypoints, (N, 2, 3) float32: x, y in image pixels",
    ):
        assert said in text
    assert "DARK" not in text
    assert "decode_in_graph: false" in (model_dir / INFER_CFG).read_text()


def test_the_pages_program_gives_the_predictors_keypoints(decoding_dir, crowd, tmp_path):
    """The block of docs/decode_in_graph.md as it stands, but for the folder."""
    page = (ROOT / "docs" / "decode_in_graph.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert "ppose" not in code
    assert len([line for line in code.splitlines() if line.strip()]) <= 15
    code, count = re.subn(r'folder = ".*"', f"folder = {str(decoding_dir)!r}", code)
    assert count == 1
    scope = {}
    exec(code, scope)
    session, image = scope["session"], crowd[0]

    class Normalises:
        """For this graph, which takes pixels from 0 to 1, in place of one with --fuse_normalize."""

        def run(self, names, inputs):
            return session.run(names, {**inputs, "image": (inputs["image"] / 255).astype(np.float32)})

    scope["session"] = Normalises()
    boxes = np.concatenate([crowd[2], [[-20, 30, 90, 100], [100, 10, 300, 60]]]).astype(float)
    found = scope["find_keypoints"](image, np.column_stack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]]))
    expected = keypoints_of(Predictor.from_dir(decoding_dir, runtime="onnxruntime")(image, boxes))
    np.testing.assert_allclose(found, expected, atol=0.01)
    # UDP's warp: the steps alone differ.
    scope["affine"]["use_udp"] = True
    udp = [{"TopDownEvalAffine": {"trainsize": [64, 96], "use_udp": True}}]
    folder = read_model_folder(decoding_dir)
    predictor = Predictor(
        replace(folder.spec, sample_transforms=udp), open_runtime(folder, "onnxruntime", cpu_threads=1)
    )
    found = scope["find_keypoints"](image, np.column_stack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]]))
    np.testing.assert_allclose(found, keypoints_of(predictor(image, boxes)), atol=0.01)


class _Maps:
    """A runtime of known heatmaps, or of keypoints that they decode to, moved by ``off`` and scaled."""

    name, batch = "maps", None

    def __init__(self, spec, off=None, factor=1.0):
        self._spec, self._off, self._factor = spec, off, factor

    def __call__(self, image, *inverse_warp):
        points = np.random.default_rng(0).uniform(10, 50, (2, 2))
        maps = np.broadcast_to(self._spec.codec.encode(points, np.ones(2))[0], (len(image), 2, 24, 16))
        if self._off is None:
            return maps
        found, scores = self._spec.codec.decode(maps)
        (warp,) = inverse_warp
        found = found @ warp[:, :, :2].swapaxes(1, 2) + warp[:, None, :, 2] + self._off
        return np.concatenate([found, self._factor * scores[..., None]], axis=-1)


@pytest.mark.parametrize(
    ("off", "factor", "is_right"),
    [(0.0, 1, True), (0.004, 1, True), (0.1, 1, False), (np.nan, 1, False), (0.0, 1.1, False)],
)
def test_an_export_whose_keypoints_are_off_is_refused(model_dir, off, factor, is_right):
    spec = read_model_folder(model_dir).spec
    exported = Predictor(spec, _Maps(spec))
    decodes = Predictor(replace(spec, decode_in_graph=True), _Maps(spec, off, factor))
    if is_right:
        assert compare_decoding(decodes, exported) == pytest.approx(off, abs=1e-4)
        return
    with pytest.raises(ExportError, match=r"the graph's keypoints are off by .*nothing was written"):
        compare_decoding(decodes, exported)


def test_a_triton_repository_has_both_inputs(decoding_dir, tmp_path):
    model = write_triton(read_model_folder(decoding_dir), tmp_path)
    text = (model / "config.pbtxt").read_text()
    assert '{ name: "inverse_warp" data_type: TYPE_FP32 dims: [2, 3] }' in text
    assert 'output [ { name: "keypoints" data_type: TYPE_FP32 dims: [2, 3] } ]' in text


@pytest.mark.heavy
def test_real_weights_give_the_same_keypoints_and_ap(reference, tmp_path):
    """With the normalisation in the graph too."""
    data = [
        f"EvalDataset.dataset_dir={reference}/data/coco_dev", "EvalDataset.image_dir=images",
        "EvalDataset.anno_path=annotations/person_keypoints.json", "worker_num=0",
        f"weights={reference}/data/weights/tinypose_128x96.pdparams", "+EvalReader.batch_size=16",
    ]  # fmt: skip
    task = Task(load_config(ROOT / "configs" / "tinypose_128x96.yml", data))
    dataset = task.dataset("EvalDataset")
    plain = Options(format="onnx", fuse_normalize=True)
    assert task.codec.use_dark
    found = []
    for options in (plain, replace(plain, decode_in_graph=True)):
        report = export_model(task, "tinypose", tmp_path / str(options.decode_in_graph), options)
        metric = _Kept(task.metric(dataset))
        evaluate(task, open_exported(task, report.model, "onnxruntime"), dataset, metric)
        found.append((metric.keypoints, metric.scores, metric.metric.compute()["AP"]))
    assert report.decoding < 1e-3
    (keypoints, scores, ap), (expected, of_codec, expected_ap) = found
    assert len(keypoints) > 300
    np.testing.assert_allclose(keypoints, expected, atol=1e-3)
    np.testing.assert_allclose(scores, of_codec, atol=1e-6)
    assert ap == pytest.approx(expected_ap, abs=1e-6)
    assert ap > 0.5


class _Kept:
    """A metric that keeps what it is fed with."""

    def __init__(self, metric):
        self.metric = metric

    def update(self, keypoints, scores, **others):
        self.keypoints, self.scores = keypoints, scores
        self.metric.update(keypoints, scores, **others)
