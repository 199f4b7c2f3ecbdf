"""An exported model whose answer is known: heatmaps of red and of blue, as large as their coloured area."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from ppose.codecs import MSRAHeatmap
from ppose.inference.model_folder import ModelFolder, file_sha256, write_infer_cfg
from ppose.keypoints import make_keypoint_set

INPUT, STRIDE = (64, 96), 4
RED, BLUE = (220, 30, 30), (30, 30, 220)


def _export_network(folder: Path) -> None:
    import paddle
    import paddle2onnx

    network = paddle.nn.Conv2D(3, 2, 7, stride=STRIDE, padding=3, bias_attr=False)
    weight = np.zeros(network.weight.shape, "float32")
    weight[0] = np.array([1, -0.5, -0.5])[:, None, None] / 49  # red without the other two
    weight[1] = np.array([-0.5, -0.5, 1])[:, None, None] / 49
    network.weight.set_value(weight)

    class Heatmaps(paddle.nn.Layer):
        def __init__(self):
            super().__init__()
            self.conv = network

        def forward(self, image):
            # Twice a mean gives an area one peak, at its middle.
            mean = paddle.nn.AvgPool2D(3, 1, 1, exclusive=False)
            return mean(mean(self.conv(image)))

    spec = paddle.static.InputSpec([None, 3, INPUT[1], INPUT[0]], "float32", "image")
    static = paddle.jit.to_static(Heatmaps(), input_spec=[spec], full_graph=True)
    paddle.jit.save(static, str(folder / "model"))
    paddle2onnx.export(
        str(folder / "model.json"),
        str(folder / "model.pdiparams"),
        save_file=str(folder / "model.onnx"),
        opset_version=17,
        optimize_tool="None",
    )
    _name_output(folder / "model.onnx")


def _name_output(file: Path) -> None:
    import onnx

    model = onnx.load(str(file))
    old = model.graph.output[0].name
    for node in model.graph.node:
        node.output[:] = ["heatmaps" if name == old else name for name in node.output]
    model.graph.output[0].name = "heatmaps"
    onnx.save(model, str(file))


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory) -> Path:
    """A folder as of tools/export_model.py, in both formats; two keypoints: red and blue."""
    folder = tmp_path_factory.mktemp("exported") / "two_colours"
    folder.mkdir()
    _export_network(folder)
    names = ("model.json", "model.pdiparams", "model.onnx")
    write_infer_cfg(
        ModelFolder(
            path=folder,
            name="two_colours",
            input_size=INPUT,
            input_dtype="float32",
            batch=None,
            flip_test=False,
            keypoint_set=make_keypoint_set("colours", ["red", "blue"], [], skeleton=[["red", "blue"]]),
            codec=MSRAHeatmap(INPUT, (INPUT[0] // STRIDE, INPUT[1] // STRIDE)),
            sample_transforms=[{"TopDownEvalAffine": {"trainsize": list(INPUT)}}],
            batch_transforms=[{"NormalizeImage": {"mean": [0, 0, 0], "std": [1, 1, 1]}}, {"Permute": {}}],
            weights_sha256="0" * 64,
            files={name: file_sha256(folder / name) for name in names},
            versions={},
        )
    )
    return folder


def draw_person(image: np.ndarray, red: tuple[int, int], blue: tuple[int, int], radius: int = 8) -> None:
    """A red and a blue disc."""
    cv2.circle(image, red, radius, RED, -1)
    cv2.circle(image, blue, radius, BLUE, -1)


@pytest.fixture
def picture() -> np.ndarray:
    """(240, 320, 3) RGB with two people: `PEOPLE` are their keypoints, `BOXES` their boxes."""
    image = np.full((240, 320, 3), 90, np.uint8)
    for red, blue in PEOPLE.tolist():
        draw_person(image, red, blue)
    return image


PEOPLE = np.array([[[70, 60], [90, 150]], [[240, 90], [220, 180]]])
BOXES = np.array([[40, 30, 120, 190], [190, 50, 270, 210]])
