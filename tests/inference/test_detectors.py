"""Where the people are, by a detector of PaddleDetection's form."""

import shutil

import cv2
import numpy as np
import paddle
import pytest
import yaml

from ppose.errors import ConfigError, DataError
from ppose.inference.detectors.choice import open_detector

RESIZE = {"type": "Resize", "target_size": [64, 96], "keep_ratio": False, "interp": 2}
NORMALIZE = {"type": "NormalizeImage", "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.2], "is_scale": True}
PERMUTE = {"type": "Permute"}
PAD = {"type": "PadStride", "stride": 32}

# class, score, and the box in the resized picture
ROWS = [
    [0, 0.6, 10, 5, 30, 50],
    [0, 0.9, 40, 10, 60, 60],
    [0, 0.3, 1, 1, 9, 9],
    [1, 0.95, 5, 5, 20, 20],
    [-1, 0.0, 0, 0, 0, 0],
    [0, 0.8, -7, 20, 12, 500],
]


class Detector(paddle.nn.Layer):
    """PicoDet's and PP-YOLOE's inputs and outputs: fixed boxes, scaled back to the original picture."""

    def __init__(self):
        super().__init__()
        rows = paddle.nn.initializer.Assign(np.array(ROWS, "float32"))
        self.rows = self.create_parameter([len(ROWS), 6], default_initializer=rows)

    def forward(self, image, im_shape, scale_factor):
        rows = self.rows
        factor = paddle.concat([scale_factor.flip(axis=1)] * 2, axis=1)
        boxes = rows[:, 2:] / factor
        # The last row carries what was put in, so that a test sees it.
        seen = paddle.concat([image.mean().reshape([1]), image.amax().reshape([1]), im_shape.reshape([2])])
        shape = paddle.shape(image)[2:].astype("float32")
        seen = paddle.concat([seen, shape]).reshape([1, 6])
        return paddle.concat([paddle.concat([rows[:, :2], boxes], axis=1), seen]), paddle.shape(rows)[:1]


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    folder = tmp_path_factory.mktemp("detector")
    spec = [
        paddle.static.InputSpec([None, 3, None, None], "float32", "image"),
        paddle.static.InputSpec([None, 2], "float32", "im_shape"),
        paddle.static.InputSpec([None, 2], "float32", "scale_factor"),
    ]
    paddle.jit.save(paddle.jit.to_static(Detector(), spec, full_graph=True), str(folder / "model"))
    return folder


def configure(graph, steps, labels=("person", "bicycle")):
    cfg = {"mode": "paddle", "arch": "PicoDet", "Preprocess": steps, "label_list": list(labels)}
    (graph / "infer_cfg.yml").write_text(yaml.safe_dump(cfg))
    return graph


@pytest.fixture
def image():
    noise = np.random.default_rng(0).integers(0, 255, (128, 240, 3), dtype=np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, None, 8), None, 0, 255, cv2.NORM_MINMAX)


def test_people_above_the_threshold_best_first(graph, image):
    detector = open_detector(configure(graph, [RESIZE, NORMALIZE, PERMUTE]), cpu_threads=1)
    # 240x128 is resized to 96x64: x by 0.4, y by 0.5; what reaches out of the picture is cut.
    expected = [[100, 20, 150, 120], [0, 40, 30, 128], [25, 10, 75, 100]]
    np.testing.assert_allclose(detector(image), expected, atol=1e-3)
    high = open_detector(graph, threshold=0.85, cpu_threads=1)
    np.testing.assert_allclose(high(image), expected[:1], atol=1e-3)
    none = open_detector(graph, threshold=0.99, cpu_threads=1)
    assert none(image).shape == (0, 4)


@pytest.mark.parametrize(
    ("steps", "shape", "padded"),
    [
        ([RESIZE, NORMALIZE, PERMUTE], (64, 96), (64, 96)),
        # The short side to 64 would make the long one 120: so the long one to 96.
        ([{**RESIZE, "keep_ratio": True}, NORMALIZE, PERMUTE, PAD], (51, 96), (64, 96)),
        ([{**RESIZE, "target_size": 96}, {**NORMALIZE, "norm_type": "none"}, PERMUTE], (96, 96), (96, 96)),
        ([{**NORMALIZE, "is_scale": False}, {**RESIZE, "interp": 1}, PERMUTE], (64, 96), (64, 96)),
    ],
)
def test_preprocessing_is_what_the_config_says(graph, image, steps, shape, padded):
    detector = open_detector(configure(graph, steps), cpu_threads=1)
    seen = []
    run = detector._graph.run
    detector._graph.run = lambda inputs: seen.append((inputs, run(inputs))) or seen[-1][1]
    detector(image)
    inputs, (rows, _) = seen[0]
    normalize = next(step for step in steps if step["type"] == "NormalizeImage")
    interp = next(step for step in steps if step["type"] == "Resize")["interp"]
    expected = image.astype(np.float64)
    if steps[0]["type"] == "Resize":
        expected = cv2.resize(image, shape[::-1], interpolation=interp).astype(np.float64)
    expected = expected / 255 if normalize["is_scale"] else expected
    if normalize.get("norm_type") != "none":
        expected = (expected - normalize["mean"]) / normalize["std"]
    if steps[0]["type"] != "Resize":
        expected = cv2.resize(expected, shape[::-1], interpolation=interp)
    found = inputs["image"][0]
    assert found.shape == (3, *padded)
    np.testing.assert_allclose(found[:, : shape[0], : shape[1]], expected.transpose(2, 0, 1), atol=0.3)
    assert not found[:, shape[0] :].any()
    np.testing.assert_array_equal(inputs["im_shape"], [shape])
    assert rows[-1, 0] == pytest.approx(found.mean(), abs=1e-4)
    np.testing.assert_array_equal(rows[-1, 4:], padded)


def test_one_class_is_people_whatever_its_name(graph, image):
    assert len(open_detector(configure(graph, [RESIZE, NORMALIZE, PERMUTE], ["pedestrian"]))(image)) == 3


def test_classes_are_chosen_by_name_or_number(graph, image, tmp_path):
    """Rows 0 are of the first class, one of 0.95 is of the second."""
    labels = ["battery", "board", "3"]
    configure(graph, [RESIZE, NORMALIZE, PERMUTE], labels)
    counts = {"battery": 3, "board": 1, "0": 3, 1: 1, "3": 0, "2": 0, " Battery": 3}
    for asked, count in counts.items():
        assert len(open_detector(graph, classes=[asked], cpu_threads=1)(image)) == count
    both = open_detector(graph, classes=["battery", "1"], cpu_threads=1)(image)
    assert len(both) == 4
    np.testing.assert_allclose(both[0], [12.5, 10, 50, 40], atol=1e-3)  # the one of 0.95 is the best
    for asked, named in ((None, "person"), (["fire", "battery"], "fire"), ([9], "9")):
        expected = f"label_list has no '{named}': 0 battery, 1 board, 2 3; choose by --det_class"
        with pytest.raises(ConfigError, match=expected):
            open_detector(graph, classes=asked)


def test_classes_without_a_list_are_numbers(graph, image):
    configure(graph, [RESIZE, NORMALIZE, PERMUTE], [])
    assert len(open_detector(graph, classes=["1"], cpu_threads=1)(image)) == 1
    with pytest.raises(ConfigError, match="label_list has no 'person': it names no classes"):
        open_detector(graph)


def test_det_own_class(graph, image, reference, tmp_path):
    """The case's own settings, on the graph of these tests."""
    for file in graph.glob("model.*"):
        shutil.copy(file, tmp_path)
    shutil.copy(reference / "cases" / "det_own_class" / "infer_cfg.yml", tmp_path)
    with pytest.raises(ConfigError, match="no 'person': 0 battery, 1 board, 2 fire; choose by --det_class"):
        open_detector(tmp_path)
    assert len(open_detector(tmp_path, classes=["battery"], cpu_threads=1)(image))


def test_what_is_no_detector(graph, tmp_path):
    with pytest.raises(DataError, match=r"holds no detector: expected a file \.onnx"):
        open_detector(tmp_path)
    for steps, labels, expected in (
        ([RESIZE, {"type": "Mosaic"}], ("person",), "Mosaic"),
        ([RESIZE, NORMALIZE], ("person",), "expected Permute"),
        ([{**RESIZE, "target_size": [99999, 3]}, PERMUTE], ("person",), "target_size is .* from 1 to 4096"),
        ([RESIZE, {**NORMALIZE, "std": [float("nan")] * 3}, PERMUTE], ("person",), "no finite numbers"),
        ([{**RESIZE, "size": 3}, PERMUTE], ("person",), "size"),
        ("no list", ("person",), "Preprocess"),
        ([RESIZE, PERMUTE], ("cat", "dog"), "label_list has no 'person'"),
    ):
        with pytest.raises(ConfigError, match=expected):
            open_detector(configure(graph, steps, labels))
