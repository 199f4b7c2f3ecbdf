"""Shared fixtures: where the published reference figures are, and a scratch cache folder."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from download_server import serving
from warm_scripts import WarmScripts

from ppose import cli
from ppose.codecs import MSRAHeatmap
from ppose.files import file_digest
from ppose.inference.model_folder import ModelFolder, write_infer_cfg
from ppose.inference.pose_spec import PoseSpec
from ppose.keypoints import make_keypoint_set
from ppose.weights import receive

ROOT = Path(__file__).resolve().parent.parent

# Child processes inherit ignored signals, as nohup and jobs in the background have them.
for _number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.SIG_DFL)


@pytest.fixture(scope="session")
def reference() -> Path:
    """Folder with `reference/` and `data/`; tests that need it skip where it is absent."""
    folder = (ROOT / os.environ.get("PPOSE_REFERENCE", "../shared")).resolve()
    if not (folder / "reference").is_dir():
        pytest.skip(f"no reference figures at {folder} (set PPOSE_REFERENCE)")
    return folder


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    """Downloads of a test never touch the user's cache."""
    monkeypatch.setenv("PPOSE_HOME", str(tmp_path_factory.mktemp("ppose_home")))


@pytest.fixture
def server(monkeypatch):
    """A server that stands for publishers, see `download_server`; nobody waits between tries."""
    monkeypatch.setattr(receive, "_pause", lambda seconds: None)
    with serving() as server:
        yield server


@pytest.fixture(scope="session", autouse=True)
def _int8_graphs_are_portable(tmp_path_factory):
    """Two levels of a channel are 128 together at most, in all ONNX files that the tests write.

    Those in folders named full_range are meant to be otherwise.
    """
    yield
    import onnx
    from onnx import numpy_helper

    for file in tmp_path_factory.getbasetemp().rglob("model.onnx"):
        if "full_range" in file.parts or b"DequantizeLinear" not in file.read_bytes():
            continue
        for constant in onnx.load(file).graph.initializer:
            if constant.data_type == onnx.TensorProto.INT8 and len(constant.dims) == 4:
                for channel in numpy_helper.to_array(constant).astype(int):
                    assert np.sort(np.abs(channel), axis=None)[-2:].sum() <= 128, (file, constant.name)


def _write_coco(folder: Path, *, keypoints: int = 17, images: int = 3, seed: int = 0) -> Path:
    """A dataset in COCO's layout, noise for images; in each two people, a crowd and someone unlabelled."""
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    content = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "person"}]}
    for image_id in range(1, images + 1):
        name = f"{image_id:012d}.jpg"
        cv2.imwrite(str(folder / "images" / name), rng.integers(0, 255, (120, 160, 3), dtype=np.uint8))
        content["images"].append({"id": image_id, "file_name": name, "width": 160, "height": 120})
        for person in range(4):
            x, y, w, h = 10 + 60 * (person % 2), 10, 50, 90
            points = np.column_stack([rng.uniform(x, x + w, keypoints), rng.uniform(y, y + h, keypoints)])
            visible = np.full(keypoints, 0 if person == 3 else 2)
            content["annotations"].append(
                {
                    "id": image_id * 10 + person, "image_id": image_id, "category_id": 1,
                    "bbox": [x, y, w, h], "area": w * h * 0.6, "iscrowd": int(person == 2),
                    "num_keypoints": int((visible > 0).sum()),
                    "keypoints": np.column_stack([points, visible]).ravel().tolist(),
                }
            )  # fmt: skip
    (folder / "annotations.json").write_text(json.dumps(content))
    return folder


@pytest.fixture
def coco_folder(tmp_path) -> Path:
    """A small dataset in COCO's format: 3 images, 6 usable people."""
    return _write_coco(tmp_path / "coco")


@pytest.fixture
def write_coco():
    """Writes a small dataset in COCO's format with any number of keypoints."""
    return _write_coco


@pytest.fixture
def run_script():
    """Run one of the project's scripts, or `-m module`, from the repository root, as a user would."""

    def _run(*arguments: object, timeout: float = 300) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, timeout=timeout
        )

    return _run


@pytest.fixture
def call_ppose(monkeypatch, capsys):
    """Run `ppose` in this process; returns its exit code and what it printed, as `run_script` does."""

    def _call(*arguments: object) -> subprocess.CompletedProcess:
        monkeypatch.setattr(sys, "argv", ["ppose", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as leave:
            code = leave.code or 0
        return subprocess.CompletedProcess(arguments, code, *capsys.readouterr())

    return _call


@pytest.fixture(scope="session")
def _warm_scripts():
    scripts = WarmScripts()
    yield scripts
    scripts.close()


@pytest.fixture
def run_tool(_warm_scripts):
    """Run one of tools/ as `run_script` does, in a fork of a process that has imported Paddle already.

    ``cwd`` is the folder that it runs in.
    """

    def _run(*arguments: object, timeout: float = 300, cwd: Path = ROOT) -> subprocess.CompletedProcess:
        return _warm_scripts.run(list(map(str, arguments)), timeout, cwd)

    return _run


RED, BLUE = (220, 30, 30), (30, 30, 220)
_INPUT, _STRIDE = (64, 96), 4


def _make_two_colours():
    """A network whose answer is known: how much red, and how much blue, there is around each fourth pixel."""
    import paddle

    conv = paddle.nn.Conv2D(3, 2, 7, stride=_STRIDE, padding=3, bias_attr=False)
    weight = np.zeros(conv.weight.shape, "float32")
    weight[0] = np.array([1, -0.5, -0.5])[:, None, None] / 20
    weight[1] = np.array([-0.5, -0.5, 1])[:, None, None] / 20
    conv.weight.set_value(weight)
    mean = paddle.nn.AvgPool2D(3, 1, 1, exclusive=False)  # twice: an area gets one peak, at its middle
    return paddle.nn.Sequential(conv, mean, mean)


@pytest.fixture(scope="session")
def make_two_colours():
    """Makes the network of `model_dir`."""
    return _make_two_colours


def _export_two_colours(folder: Path) -> None:
    import paddle
    import paddle2onnx

    spec = paddle.static.InputSpec([None, 3, _INPUT[1], _INPUT[0]], "float32", "image")
    paddle.jit.save(paddle.jit.to_static(_make_two_colours(), [spec], full_graph=True), str(folder / "model"))
    files = [str(folder / name) for name in ("model.json", "model.pdiparams", "model.onnx")]
    paddle2onnx.export(*files[:2], save_file=files[2], opset_version=17, optimize_tool="None")
    _name_output(files[2], "heatmaps")


def _name_output(file: str, name: str) -> None:
    import onnx

    model = onnx.load(file)
    old = model.graph.output[0].name
    for node in model.graph.node:
        node.output[:] = [name if output == old else output for output in node.output]
    model.graph.output[0].name = name
    onnx.save(model, file)


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory) -> Path:
    """A folder as of tools/export_model.py, for Paddle and ONNX; its keypoints: a red and a blue disc."""
    folder = tmp_path_factory.mktemp("exported") / "two_colours"
    folder.mkdir()
    _export_two_colours(folder)
    files = ("model.json", "model.pdiparams", "model.onnx")
    write_infer_cfg(
        ModelFolder(
            path=folder,
            name=folder.name,
            spec=PoseSpec(
                input_size=_INPUT,
                keypoint_set=make_keypoint_set("colours", ["red", "blue"], [], skeleton=[["red", "blue"]]),
                codec=MSRAHeatmap(_INPUT, (_INPUT[0] // _STRIDE, _INPUT[1] // _STRIDE)),
                sample_transforms=[{"TopDownEvalAffine": {"trainsize": list(_INPUT)}}],
                batch_transforms=[{"NormalizeImage": {"mean": [0, 0, 0], "std": [1, 1, 1]}}, {"Permute": {}}],
            ),
            weights_sha256="0" * 64,
            quantization_sha256=None,
            files={name: file_digest(folder / name) for name in files},
            versions={},
        )
    )
    return folder


@pytest.fixture(scope="session")
def draw_person():
    """Draws what `model_dir` finds on an RGB image, and returns its keypoints: red, blue."""

    def _draw(image: np.ndarray, red: tuple[int, int], blue: tuple[int, int], radius: int = 8) -> np.ndarray:
        cv2.circle(image, red, radius, RED, -1)
        cv2.circle(image, blue, radius, BLUE, -1)
        return np.array([red, blue])

    return _draw


@pytest.fixture
def crowd(draw_person):
    """An image (240, 320, 3), RGB, of two people, their keypoints (2, 2, 2) and bboxes_xyxy (2, 4)."""
    image = np.full((240, 320, 3), 90, np.uint8)
    people = [draw_person(image, (70, 60), (90, 150)), draw_person(image, (240, 90), (220, 180))]
    return image, np.array(people), np.array([[40, 30, 120, 190], [190, 50, 270, 210]])


@pytest.fixture
def fill_weights():
    """Function: set a network's convolutions to normal * sqrt(1.6 / fan_in), seeded; gives it back.

    Activations stay of order one, so that comparisons see every layer.
    """

    def fill(model):
        rng = np.random.default_rng(0)
        for parameter in model.parameters():
            if parameter.ndim == 4:
                scale = np.sqrt(1.6 / np.prod(parameter.shape[1:]))
                parameter.set_value(rng.normal(0, scale, parameter.shape).astype(np.float32))
        return model

    return fill
