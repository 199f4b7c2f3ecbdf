"""Tiles of large images, and the boxes that are kept of several."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from inference.constant_graphs import write_detector

from ppose.errors import ConfigError
from ppose.inference.command import open_detector
from ppose.inference.detectors import Detections
from ppose.inference.detectors.overlap import suppress
from ppose.inference.detectors.tiles import TiledDetector

PEOPLE = [(20, 20, 60, 110), (480, 100, 530, 210), (700, 450, 730, 500), (100, 150, 420, 590)]  # one is large
SMALLEST = 0.12  # of the picture's longer side, for the whole to show somebody


def find_drawn(images):
    """A detector of what is drawn, a grey value a person: what is small in its picture it does not see."""
    found = []
    for image in images:
        boxes, scores = [], []
        for number in range(1, len(PEOPLE) + 1):
            y, x = np.nonzero(image[..., 0] == number)
            if len(y) and max(np.ptp(x), np.ptp(y)) > SMALLEST * max(image.shape[:2]):
                boxes.append([x.min(), y.min(), x.max() + 1, y.max() + 1])
                scores.append(0.9 - 0.1 * number)
        found.append(
            Detections(
                np.array(boxes, float).reshape(-1, 4), np.array(scores), np.zeros(len(boxes), np.int64)
            )
        )
    return found


@pytest.fixture
def image():
    image = np.zeros((600, 800, 3), np.uint8)
    for number, (left, top, right, bottom) in enumerate(PEOPLE, start=1):
        image[top:bottom, left:right] = number
    return image


def test_small_people_are_found_once(image):
    assert len(find_drawn([image])[0].scores) == 2
    found = TiledDetector(find_drawn, 2, 2)(image)
    np.testing.assert_array_equal(found, PEOPLE[:2] + PEOPLE[3:])
    np.testing.assert_array_equal(TiledDetector(find_drawn, 4, 3)(image), PEOPLE)


def test_the_commands_detector_looks_at_tiles(image, tmp_path):
    """A detector that finds the same in each picture: once in the whole, and where tiles have it whole."""
    output = np.zeros((1, 6), np.float32)
    output[0] = 8, 8, 24, 24, 0.9, 0
    file = write_detector(tmp_path / "a.onnx", [output])
    plain, tiled = (open_detector(file, 0.5, tiles=tiles) for tiles in (None, (2, 1)))
    assert len(plain(image)) == 1
    assert len(tiled(image)) == 3
    assert len(open_detector(file, 0.95, tiles=(2, 1))(image)) == 0


@pytest.mark.parametrize("runtime", ["openvino", "onnxruntime"])
def test_a_detector_in_streams_finds_the_same(image, tmp_path, runtime):
    output = np.zeros((1, 6), np.float32)
    output[0] = 8, 8, 24, 24, 0.9, 0
    file = write_detector(tmp_path / "a.onnx", [output])
    options = {"runtime": runtime, "cpu_threads": 2}
    one, several = (open_detector(file, 0.5, hint=h, **options) for h in ("latency", "throughput"))
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(several, [image] * 20):
            np.testing.assert_array_equal(found, one(image))


def test_one_tile_is_the_whole(image):
    np.testing.assert_array_equal(TiledDetector(find_drawn, 1, 1)(image), find_drawn([image])[0].bboxes_xyxy)
    tiny = np.zeros((2, 3, 3), np.uint8)
    assert TiledDetector(find_drawn, 5, 5)(tiny).shape == (0, 4)


def test_other_tiles_are_refused():
    for columns, rows in ((0, 2), (17, 1)):
        with pytest.raises(ConfigError, match=r"tiles are .*, expected 1x1 to 16x16"):
            TiledDetector(find_drawn, columns, rows)


def test_suppression_is_the_naive_loops():
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 60, (80, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(5, 40, (80, 2))], axis=1)
    parts = rng.random(80) < 0.3
    kept = []
    for index, box in enumerate(boxes):
        lost = False
        for other in boxes[kept]:
            width = min(box[2], other[2]) - max(box[0], other[0])
            height = min(box[3], other[3]) - max(box[1], other[1])
            shared = max(width, 0) * max(height, 0)
            own = (box[2] - box[0]) * (box[3] - box[1])
            union = own + (other[2] - other[0]) * (other[3] - other[1]) - shared
            lost |= shared / union > 0.5 or (parts[index] and shared / own > 0.5)
        if not lost:
            kept.append(index)
    np.testing.assert_array_equal(suppress(boxes, 0.5, is_part=parts), kept)
    assert len(suppress(boxes, 0.5)) > len(kept)
    assert suppress(np.zeros((0, 4)), 0.5).shape == (0,)
