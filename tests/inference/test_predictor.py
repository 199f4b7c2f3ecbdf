"""From an image and boxes to poses, whatever executes the graph."""

import dataclasses
import json
import re
import shutil

import cv2
import numpy as np
import pytest
import yaml

import ppose
from ppose.codecs import UDPHeatmap
from ppose.errors import ConfigError, DataError
from ppose.inference.model_folder import read_model_folder
from ppose.inference.predictor import Predictor
from ppose.inference.runtimes import open_runtime
from ppose.workspace import load_config

PIXELS = 3  # a heatmap pixel is 8 image pixels in these pictures, and decoding knows quarters


class Recorder:
    """A runtime that keeps what it is given, and answers as another or with empty heatmaps."""

    name, callers = "recorder", 1

    def __init__(self, runtime=None, shape=(2, 24, 16)):
        self.images, self._shape = [], shape
        self._runtime = runtime or (lambda image: np.zeros((len(image), *self._shape), np.float32))

    def __call__(self, image, *others):
        self.images.append(image)
        return self._runtime(image, *others)


@pytest.fixture(scope="module")
def predictor(model_dir):
    return Predictor.from_dir(model_dir, runtime="onnxruntime", cpu_threads=1)


def keypoints_of(poses):
    return np.array([pose.keypoints for pose in poses])


@pytest.mark.parametrize("runtime", ["paddle", "onnxruntime", "openvino"])
def test_every_runtime_finds_the_people(model_dir, crowd, runtime):
    image, people, boxes = crowd
    before = image.copy()
    found = ppose.Predictor.from_dir(model_dir, runtime=runtime, cpu_threads=1)(image, boxes)
    np.testing.assert_allclose(keypoints_of(found), people, atol=PIXELS)
    np.testing.assert_array_equal([pose.bbox_xyxy for pose in found], boxes)
    for pose in found:
        assert pose.scores.shape == (2,)
        assert pose.score == pytest.approx(pose.scores.mean())
        assert 0.4 < pose.score < 1
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize(("width", "height"), [(100, 600), (600, 100), (64, 96), (1600, 2400)])
def test_a_whole_image_keeps_its_aspect_ratio(predictor, draw_person, width, height):
    """Tall pictures are not cut, wide ones not squeezed: discs near the ends are found, and stay discs."""
    image = np.full((height, width, 3), 90, np.uint8)
    step = max(width / 64, height / 96)  # image pixels for one of the input's
    red, blue = (width * 3 // 10, height // 10), (width * 7 // 10, height * 9 // 10)
    truth = draw_person(image, red, blue, radius=round(4 * step))
    (pose,) = predictor(image)
    np.testing.assert_allclose(pose.keypoints, truth, atol=2.5 * step)
    np.testing.assert_array_equal(pose.bbox_xyxy, [0, 0, width, height])


def test_batches_change_nothing(model_dir, crowd):
    """People of one image or of several, run one by one, all at once, or in batches that end anywhere."""
    image, _, boxes = crowd
    mirrored, there = image[:, ::-1].copy(), boxes.copy()
    there[:, [0, 2]] = image.shape[1] - boxes[:, [2, 0]]
    images, all_boxes = [image, mirrored, image], [boxes, np.zeros((0, 4)), there[:1]]
    results = [
        Predictor.from_dir(model_dir, runtime="onnxruntime", batch_size=size).predict_images(
            images, all_boxes
        )
        for size in (1, 2, 3, 16)
    ]
    assert [len(poses) for poses in results[0]] == [2, 0, 1]
    for other in results[1:]:
        for poses, expected in zip(other, results[0], strict=True):
            np.testing.assert_allclose(keypoints_of(poses), keypoints_of(expected), atol=1e-4)
            np.testing.assert_allclose([p.scores for p in poses], [p.scores for p in expected], atol=1e-5)


def test_people_of_several_images_share_a_batch(model_dir, crowd):
    image, _, boxes = crowd
    runtime = Recorder()
    predictor = Predictor(read_model_folder(model_dir).spec, runtime, batch_size=3)
    predictor.predict_images([image, image], [boxes, boxes])
    assert [len(batch) for batch in runtime.images] == [3, 1]
    assert predictor.people == 4
    assert all(seconds > 0 for seconds in predictor.seconds.values())


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino", "paddle"])
def test_throughput_finds_the_same(model_dir, crowd, runtime):
    image, people, boxes = crowd
    images = [np.roll(image, 3 * shift, axis=1) for shift in range(9)]
    options = {"runtime": runtime, "cpu_threads": 2}
    predictor = Predictor.from_dir(model_dir, hint="throughput", **options)
    at_once = {"paddle": (1, 16)}.get(runtime, (2, 8))  # Paddle's runs take all threads
    assert (predictor.callers, predictor.batch_size) == at_once
    found = predictor.predict_images(images, [boxes] * 9)
    expected = Predictor.from_dir(model_dir, **options).predict_images(images, [boxes] * 9)
    np.testing.assert_allclose(keypoints_of(found[0]), people, atol=PIXELS)
    for poses, others in zip(found, expected, strict=True):
        np.testing.assert_allclose(keypoints_of(poses), keypoints_of(others), atol=1e-3)
    with pytest.raises(ConfigError, match="hint is 'quick', expected one of latency, throughput"):
        Predictor.from_dir(model_dir, hint="quick", **options)


def test_a_fixed_batch_is_filled_up(model_dir, crowd):
    image, people, boxes = crowd
    folder = read_model_folder(model_dir)
    runtime = Recorder(open_runtime(folder, "onnxruntime"))
    spec = dataclasses.replace(folder.spec, batch=4)
    found = Predictor(spec, runtime, batch_size=1)(image, boxes)
    np.testing.assert_allclose(keypoints_of(found), people, atol=PIXELS)
    assert [batch.shape for batch in runtime.images] == [(4, 3, 96, 64)]


def test_an_image_file_is_read(predictor, crowd, tmp_path):
    image, _, boxes = crowd
    cv2.imwrite(str(tmp_path / "a.png"), image[..., ::-1])
    expected = keypoints_of(predictor(image, boxes))
    for file in (tmp_path / "a.png", str(tmp_path / "a.png")):
        np.testing.assert_array_equal(keypoints_of(predictor(file, boxes)), expected)
        np.testing.assert_array_equal(keypoints_of(predictor.predict_images([file], [boxes])[0]), expected)


def test_the_networks_input_is_that_of_evaluation(write_coco, tmp_path):
    """The same pixels as of the same people in a dataset, which EvalReader prepares in worker processes."""
    from ppose.engine.task import Task

    folder = write_coco(tmp_path / "coco")
    data = ["dataset_dir=" + str(folder), "image_dir=images", "anno_path=annotations.json"]
    overrides = [f"EvalDataset.{line}" for line in data] + [
        "EvalReader.batch_size=2",
        "+EvalDataset.clip_bbox=false",
    ]
    task = Task(load_config("configs/tinypose_128x96.yml", overrides))
    (batch, *_) = task.reader("EvalReader").batches(task.dataset("EvalDataset"), workers=1)
    runtime = Recorder(shape=(17, 32, 24))
    boxes = np.array([[10, 10, 60, 100], [70, 10, 120, 100]])
    Predictor(task.pose_spec(), runtime)(folder / "images" / "000000000001.jpg", boxes)
    np.testing.assert_array_equal(runtime.images[0], batch["image"].numpy())


def test_decoding_is_the_folders_unless_set_otherwise(model_dir, crowd):
    image, _, boxes = crowd
    folder = read_model_folder(model_dir)
    plain = keypoints_of(Predictor.from_dir(model_dir, runtime="onnxruntime")(image, boxes))
    dark = keypoints_of(Predictor.from_dir(model_dir, runtime="onnxruntime", use_dark=True)(image, boxes))
    again = keypoints_of(Predictor.from_dir(model_dir, runtime="onnxruntime", use_dark=False)(image, boxes))
    assert not folder.spec.codec.use_dark
    np.testing.assert_array_equal(plain, again)
    assert 0 < np.abs(plain - dark).max() < PIXELS
    codec = UDPHeatmap(folder.spec.codec.input_size, folder.spec.codec.heatmap_size)
    udp = dataclasses.replace(folder.spec, codec=codec)
    with pytest.raises(ConfigError, match="UDP"):
        Predictor(udp, Recorder(), use_dark=False)


@pytest.mark.parametrize("use_dark", [False, True])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
def test_heatmaps_that_are_no_numbers_are_keypoints_without_a_score(predictor, crowd, value, use_dark):
    """As unlabelled ones in COCO's files; the other keypoint, and the other person, stay."""

    class Spoilt:
        name, batch, callers = "spoilt", None, 1

        def __call__(self, image):
            maps = predictor._runtime(image)
            maps[0, 1] = value
            return maps

    image, _, boxes = crowd
    whole = Predictor(predictor.spec, predictor._runtime, use_dark=use_dark)(image, boxes)
    found = Predictor(predictor.spec, Spoilt(), use_dark=use_dark)(image, boxes)
    for pose in found:
        assert np.isfinite(pose.to_array()).all()
    json.dumps([pose.to_record() for pose in found], allow_nan=False)
    if not np.isfinite(value):
        np.testing.assert_array_equal(found[0].to_array()[1], 0)
    np.testing.assert_allclose(found[0].to_array()[0], whole[0].to_array()[0], rtol=1e-6)
    np.testing.assert_allclose(found[1].to_array(), whole[1].to_array(), rtol=1e-6)


def test_keypoints_of_a_graph_that_are_no_numbers(predictor, crowd):
    def find(image, inverse_warp):
        found = np.full((len(image), 2, 3), 7, np.float32)
        found[0, 0], found[1, 1, 0] = np.nan, np.inf
        return found

    decoding = Predictor(dataclasses.replace(predictor.spec, decode_in_graph=True), Recorder(find))
    first, second = (pose.to_array().tolist() for pose in decoding(crowd[0], crowd[2]))
    assert first == [[0, 0, 0], [7, 7, 7]]
    assert second == [[7, 7, 7], [0, 0, 0]]


def test_nobody_is_an_empty_list(predictor, crowd):
    assert predictor(crowd[0], []) == []
    assert predictor.predict_images([], []) == []


def test_a_single_pixel_and_twenty_megapixels(predictor, draw_person):
    assert np.isfinite(predictor(np.full((1, 1, 3), 200, np.uint8))[0].keypoints).all()
    image = np.full((4000, 5000, 3), 90, np.uint8)
    truth = draw_person(image, (2000, 1500), (2200, 2400), radius=80)
    (pose,) = predictor(image, [[1700, 1200, 2500, 2800]])
    np.testing.assert_allclose(pose.keypoints, truth, atol=30)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (np.zeros((4, 4), np.uint8), r"uint8 \(4, 4\), expected"),
        (np.zeros((4, 4, 4), np.uint8), r"\(4, 4, 4\)"),
        (np.zeros((4, 4, 3), np.float32), "float32"),
        (np.zeros((0, 4, 3), np.uint8), r"\(0, 4, 3\)"),
        (["a.jpg"], "an image of list"),
        ("a.jpg", "image not found: a.jpg"),
    ],
)
def test_other_images_are_refused(predictor, image, expected):
    with pytest.raises(DataError, match=expected):
        predictor(image)


@pytest.mark.parametrize(
    "boxes",
    [
        *([[1, 2, 3]], [1, 2, 3, 4], [[9, 1, 2, 5]], [[1, 2, float("nan"), 4]]),
        # What numpy makes no numbers of, or only a part of them.
        *("boxes.json", [["a", "b", "c", "d"]], [[1, 2, 3], [1, 2, 3, 4]], [{"bbox": [1, 2, 3, 4]}]),
        *(iter([[1, 2, 3, 4]]), [[1j, 2j, 3j, 4j]], [[0, 0, 10**400, 9]]),
    ],
)
def test_other_boxes_are_refused(predictor, crowd, boxes):
    with pytest.raises(DataError, match="box"):
        predictor(crowd[0], boxes)


def test_several_images_are_distinguished_from_one(predictor, crowd, tmp_path):
    image, _, boxes = crowd
    for one in (image, "a.jpg", tmp_path / "a.jpg"):
        with pytest.raises(DataError, match="got one image, expected several"):
            predictor.predict_images(one)
    for given in ([boxes], [boxes] * 3):
        with pytest.raises(DataError, match=rf"got boxes for {len(given)} images, but 2 images"):
            predictor.predict_images([image] * 2, given)
    assert [len(poses) for poses in predictor.predict_images(np.stack([image] * 2), [boxes, []])] == [2, 0]


def test_the_home_folder(model_dir, crowd, monkeypatch):
    monkeypatch.setenv("HOME", str(model_dir.parent))
    image, _, boxes = crowd
    for make in (Predictor.from_dir, ppose.Predictor):
        assert len(make(f"~/{model_dir.name}")(image, boxes)) == 2


def test_options_of_other_kinds_are_refused(model_dir, reference):
    for options in ({"batch_size": "3"}, {"batch_size": 2.5}, {"use_dark": "no"}, {"cpu_threads": "2"}):
        with pytest.raises(ConfigError, match=f"{next(iter(options))} is .*, expected"):
            Predictor.from_dir(model_dir, **options)
    with pytest.raises(ConfigError, match="threshold of detections is 50, expected 0 to 1"):
        ppose.Predictor(model_dir, detector=reference / "data" / "detectors" / "yolox_nano", det_threshold=50)


def test_a_half_written_folder_and_another_version(model_dir, tmp_path):
    folder = shutil.copytree(model_dir, tmp_path / "copy")
    (folder / "model.onnx").write_bytes((folder / "model.onnx").read_bytes()[:-10])
    with pytest.raises(DataError, match=r"half-written export: .*model\.onnx"):
        Predictor.from_dir(folder)
    cfg = yaml.safe_load((folder / "infer_cfg.yml").read_text())
    (folder / "infer_cfg.yml").write_text(yaml.safe_dump({**cfg, "format": 1}))
    with pytest.raises(DataError, match=r"another version.*export again"):
        Predictor.from_dir(folder)


@pytest.mark.parametrize("box", [[300, 200, 80, 160], [300.5, 20.5, 30.25, 160.5]])
def test_a_box_given_as_x_y_width_height_is_shown_as_it_was_given(predictor, crowd, box):
    expected = re.escape(f"got the box {box}, expected [left, top, right, bottom] in pixels")
    with pytest.raises(DataError, match=expected):
        predictor(crowd[0], [[1, 2, 30, 40], box])
