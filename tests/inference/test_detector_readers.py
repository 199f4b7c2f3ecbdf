"""Detectors of all families, known by their outputs: the same two people, one of another class, doubles."""

import json
import logging

import cv2
import numpy as np
import pytest
from inference.constant_graphs import write_detector
from inference.detector_outputs import FAMILIES, ROWS, THINGS
from onnx import TensorProto

from ppose.errors import ConfigError, DataError, DeviceError
from ppose.inference.detectors.choice import open_detector

# How the image of 120x60 lies in the input of 64x64.
PLACES = {
    "corner": ([64 / 120, 32 / 60], [0, 0]),
    "centered": ([64 / 120, 32 / 60], [0, 16]),
    "stretched": ([64 / 120, 64 / 60], [0, 0]),
}


def expect(place, things):
    factor, offset = (np.tile(each, 2) for each in PLACES[place])
    boxes = (np.array([box[:4] for box in things]) - offset) / factor
    return np.clip(boxes, 0, [120, 60, 120, 60])


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 255, (60, 120, 3), np.uint8)


@pytest.mark.parametrize("family", list(FAMILIES))
def test_people_of_every_family(family, image, tmp_path, caplog):
    outputs, name, place = FAMILIES[family]
    file = write_detector(tmp_path / f"{family}.onnx", outputs)
    caplog.set_level(logging.INFO, "ppose")
    detector = open_detector(tmp_path, classes=["0"], cpu_threads=1, runtime="onnxruntime")
    assert f"{family}.onnx: {name}, 64x64, onnxruntime" in caplog.text
    (found,) = detector.detect([image])
    np.testing.assert_allclose(found.scores, [0.9, 0.7], atol=1e-5)
    np.testing.assert_allclose(found.bboxes_xyxy, expect(place, [THINGS[0], THINGS[2]]), atol=0.01)
    both = open_detector(file, classes=[0, 1], threshold=0.2, cpu_threads=1, runtime="onnxruntime")
    # The last one lies below the image, where that is in the upper half.
    assert both.detect([image])[0].classes.tolist() == [1, 0, 0] + [0] * (place != "corner")
    high = open_detector(file, classes=["1"], threshold=0.96, cpu_threads=1, runtime="onnxruntime")
    assert high(image).shape == (0, 4)


@pytest.mark.parametrize("batch", [2, "N"])
@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_batches(runtime, batch, image, tmp_path):
    pytest.importorskip(runtime)
    file = write_detector(tmp_path / "a.onnx", FAMILIES["yolov8"][0], batch=batch)
    detector = open_detector(file, classes=["0"], cpu_threads=1, runtime=runtime)
    images = [image, image[:, ::-1], cv2.resize(image, (60, 30))]
    for found, factor in zip(detector.detect(images), (1, 1, 0.5), strict=True):
        expected = expect("centered", [THINGS[0], THINGS[2]]) * factor
        np.testing.assert_allclose(found.bboxes_xyxy, expected, atol=0.01)
    assert detector.detect([]) == []


def test_openvinos_own_format(image, tmp_path):
    openvino = pytest.importorskip("openvino")
    file = write_detector(tmp_path / "a.onnx", FAMILIES["yolov8"][0])
    openvino.save_model(openvino.convert_model(file), tmp_path / "ir" / "a.xml")
    found = [open_detector(each, classes=["0"], cpu_threads=1)(image) for each in (file, tmp_path / "ir")]
    np.testing.assert_allclose(found[1], expect("centered", [THINGS[0], THINGS[2]]), atol=0.1)  # 16 bits
    np.testing.assert_allclose(*found, atol=0.1)
    with pytest.raises(DeviceError, match="ppose runs OpenVINO on the CPU only"):
        open_detector(tmp_path / "ir", device="gpu")


def test_pixels_are_as_each_family_has_them(image, tmp_path):
    """Against what the publishers' preprocessing says, in plain numpy, where nothing is resized."""
    from ppose.inference.detectors import fit

    square = np.ascontiguousarray(image[:, :60])
    planes = square.transpose(2, 0, 1).astype(np.float64)
    mean, std = np.array([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[..., None, None]
    expected = {
        fit.fit_yolox: planes[::-1],
        fit.fit_ultralytics: planes / 255,
        fit.fit_picodet: (planes / 255 - mean) / std,
        fit.fit_rtmdet: ((planes / 255 - mean) / std)[::-1],
    }
    for make, values in expected.items():
        np.testing.assert_allclose(make((60, 60))(square).image, values, atol=1e-4)
    padded = fit.fit_ultralytics((120, 120))(image).image
    np.testing.assert_allclose(padded[:, [0, 29, 90, 119]], 114 / 255, atol=1e-6)
    np.testing.assert_allclose(padded[:, 30:90], image.transpose(2, 0, 1) / 255, atol=1e-6)
    padded = fit.fit_yolox((120, 120))(image).image
    np.testing.assert_array_equal(padded[:, 60:], np.full((3, 60, 120), 114))


def test_mmdeploys_pipeline_says_the_preprocessing(image, tmp_path):
    outputs, _, _ = FAMILIES["rtmdet_end2end"]
    file = write_detector(tmp_path / "end2end.onnx", outputs, size=(64, 64))
    with pytest.raises(ConfigError, match=r"its family is unknown: put mmdeploy's pipeline.json beside"):
        open_detector(tmp_path, classes=["0"], runtime="onnxruntime")
    transforms = [
        {"type": "LoadImageFromFile"},
        {"type": "Resize", "keep_ratio": True, "size": [64, 64]},
        {"type": "Pad", "size": [64, 64], "pad_val": {"img": [7, 7, 7]}},
        {"type": "Normalize", "mean": [1, 2, 3], "std": [2, 2, 2], "to_rgb": True},
    ]
    content = {"pipeline": {"tasks": [{"name": "Preprocess", "transforms": transforms}]}}
    (tmp_path / "pipeline.json").write_text(json.dumps(content))
    detector = open_detector(file, classes=["0"], runtime="onnxruntime", cpu_threads=1)
    np.testing.assert_allclose(detector(image), expect("corner", [THINGS[0], THINGS[2]]), atol=0.01)
    fitted = detector._prepare(image)
    np.testing.assert_allclose(fitted.image[:, 32:].mean(axis=(1, 2)), [3, 2.5, 2])
    for spoilt in ("[]", '{"pipeline": {"tasks": []}}', json.dumps(content).replace("64", "99999")):
        (tmp_path / "pipeline.json").write_text(spoilt)
        if "99999" in spoilt:  # of a graph of any size
            write_detector(file, outputs, size=("w", "h"))
        with pytest.raises(DataError, match=r"pipeline\.json: expected mmdeploy's Preprocess"):
            open_detector(file, classes=["0"], runtime="onnxruntime")


def test_paddles_onnx_with_its_settings(image, tmp_path):
    """Rows in pixels of the image, since the graph gets the scale; names of classes; NMS left out."""
    rows = np.array([[1, 0.9, 10, 10, 50, 50], [0, 0.8, 20, 5, 40, 55]], np.float32)
    names = ("image", "im_shape", "scale_factor")
    file = write_detector(tmp_path / "a" / "model.onnx", [rows, np.array([2])], inputs=names)
    model = flatten_rows(file)
    steps = "[{type: Resize, target_size: [64, 64], keep_ratio: false}, {type: Permute}]"
    cfg = f"arch: GFL\nPreprocess: {steps}\nlabel_list: [cat, person]\n"
    (model.parent / "infer_cfg.yml").write_text(cfg)
    detector = open_detector(model.parent, runtime="onnxruntime", cpu_threads=1)
    np.testing.assert_allclose(detector(image), [[10, 10, 50, 50]])
    boxes, scores = rows[:, 2:], np.array([[0.8, 0.1], [0.1, 0.9]], np.float32)
    write_detector(model, [boxes, scores.T], inputs=names)
    np.testing.assert_allclose(open_detector(model.parent, runtime="onnxruntime")(image), [[20, 5, 40, 55]])
    (model.parent / "infer_cfg.yml").write_text(cfg.replace("[64, 64]", "[32, 32]"))
    with pytest.raises(
        DataError, match=r"makes inputs \(3, 32, 32\), .* takes \(3, 64, 64\): they belong to two"
    ):
        open_detector(model.parent, runtime="onnxruntime")


def flatten_rows(file):
    """The first output without its side of images, as PaddleDetection's has none."""
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load(file)
    shape = numpy_helper.from_array(np.array([-1, 6]))
    model.graph.node.append(helper.make_node("Constant", [], ["flat"], value=shape))
    model.graph.node.append(helper.make_node("Reshape", ["o0", "flat"], ["rows"]))
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("rows", TensorProto.FLOAT, [None, 6]))
    onnx.save(model, file)
    return file


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_names_and_sizes_of_ultralytics_files(runtime, image, tmp_path):
    pytest.importorskip(runtime)
    metadata = {"names": "{0: 'cat', 1: 'person'}", "imgsz": "[64, 64]"}
    output = FAMILIES["yolov8"][0]
    file = write_detector(tmp_path / "a.onnx", output, size=("w", "h"), metadata=metadata)
    detector = open_detector(file, runtime=runtime, cpu_threads=1)
    np.testing.assert_allclose(detector(image), expect("centered", [THINGS[3]]), atol=0.01)
    with pytest.raises(ConfigError, match="has no 'dog': 0 cat, 1 person"):
        open_detector(file, classes=["dog"], runtime=runtime)
    write_detector(file, output, metadata={"names": "{0: !!python/object:os.system x}"})
    with pytest.raises(ConfigError, match="has no 'person': it names no classes; choose by --det_class"):
        open_detector(file, runtime=runtime)
    with pytest.raises(ConfigError, match="the classes are 0 to 1, people are 2"):
        open_detector(file, classes=["2"], runtime=runtime)


def test_numbers_that_are_none_are_left_out(image, tmp_path, caplog):
    output = ROWS.copy()
    output[0, 1], output[1, 4], output[2, 2] = np.nan, np.nan, np.inf
    file = write_detector(tmp_path / "a.onnx", [output])
    detector = open_detector(file, classes=[0, 1], threshold=0.2, runtime="onnxruntime", cpu_threads=1)
    assert np.isfinite(detector(image)).all()
    assert len(detector(image)) == 1
    assert caplog.text.count("gives boxes or scores that are NaN or infinite") == 1


@pytest.mark.parametrize(
    ("outputs", "options", "expected"),
    [
        ([np.zeros((3, 4))], {}, r"is no known detector: for a 64x64 image it gives \(1, 3, 4\); "),
        ([np.zeros((17, 16, 16))], {}, r"looked for .*PaddleDetection's rows .*YOLOX .*PicoDet's .*RTMDet's"),
        ([np.zeros((3, 4))], {"inputs": ("a", "b")}, r"it takes a \(1, 3, 64, 64\), b \(1, 2\), expected"),
        ([np.zeros((3, 4))], {"size": (8192, 64)}, r"takes images \(1, 3, 64, 8192\), expected sides"),
    ],
)
def test_what_is_none_of_these(outputs, options, expected, tmp_path):
    with pytest.raises(DataError, match=expected):
        open_detector(write_detector(tmp_path / "a.onnx", outputs, **options), runtime="onnxruntime")


def test_a_file_that_a_runtime_refuses(tmp_path):
    for runtime in ("onnxruntime", "openvino"):
        pytest.importorskip(runtime)
        (tmp_path / "a.onnx").write_bytes(b"\x08\x07\x12\x03abc" * 9)
        with pytest.raises(DataError, match=r"a\.onnx does not load in O.*: "):
            open_detector(tmp_path, runtime=runtime)
    (tmp_path / "b.onnx").touch()
    with pytest.raises(DataError, match=r"holds several graphs: name one of a\.onnx, b\.onnx"):
        open_detector(tmp_path)
    with pytest.raises(DataError, match=r"detector not found: .*c\.onnx"):
        open_detector(tmp_path / "c.onnx")


PUBLISHED = {"yolox_nano": 0.9, "picodet_xs_416": 0.9}  # score of the person in the middle


@pytest.mark.parametrize("name", list(PUBLISHED))
@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_published_files_find_a_person(name, runtime, reference):
    """Somebody upright; the box (x, y, w, h) is COCO's annotators'."""
    from ppose.transforms import read_image

    pytest.importorskip(runtime)
    detector = open_detector(reference / "data" / "detectors" / name, runtime=runtime, cpu_threads=1)
    image = read_image(reference / "data" / "coco_dev" / "images" / "000000030752.jpg")
    (found,) = detector.detect([image])
    assert found.scores[0] > PUBLISHED[name]
    np.testing.assert_allclose(found.bboxes_xyxy[0], [214.9, 63.3, 333.1, 364.5], atol=8)
