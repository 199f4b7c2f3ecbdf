"""Boxes of people from a file: what is read, and what is refused in one line."""

import json
from pathlib import Path

import numpy as np
import pytest

from ppose.errors import DataError
from ppose.image_files import read_boxes_and_sizes

FILES = [Path("photo.jpg"), Path("000000000785.jpg")]
IMAGES = [{"id": 7, "file_name": "photo.jpg", "width": 64, "height": 48}]


@pytest.fixture
def read(tmp_path):
    """The boxes of `FILES` in a file of this content: JSON text, or what becomes it."""

    def _read(content, files=FILES):
        path = tmp_path / "boxes.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return [boxes.tolist() for boxes in read_boxes_and_sizes(path, files)[0]]

    return _read


def test_boxes_by_name_by_id_and_of_annotations(read):
    box, found = [1, 2, 30, 40], [1, 2, 31, 42]
    people = [{"image": "a/photo.jpg", "bbox": box}, {"image_id": 785, "bbox": box}]
    assert read(people) == [[found], [found]]
    people = [{"image_id": 7, "bbox": box}, {"image_id": 8, "bbox": box}, None, 5]
    assert read({"images": IMAGES, "annotations": people}) == [[found], []]


def test_boxes_of_a_file_without_an_ending_count_once(read):
    assert read([{"image": "photo", "bbox": [1, 2, 3, 4]}], [Path("photo")]) == [[[1, 2, 4, 6]]]


def test_boxes_below_a_pixel_are_left_out(read, caplog):
    """As those are that somebody gives as parts of the image."""
    boxes = [[0.1, 0.2, 0.5, 0.6], [0, 0, 5, 0.9], [1, 2, -3, 4], [1, 2, 3, 4], [float("nan"), 0, 3, 4]]
    assert read([{"image": "photo.jpg", "bbox": box} for box in boxes])[0] == [[1, 2, 4, 6]]
    assert "4 of 5 boxes left out: 4 smaller than a pixel" in caplog.text
    with pytest.raises(DataError, match=r"none of its boxes .* in pixels: x, y, width, height"):
        read([{"image": "photo.jpg", "bbox": box} for box in boxes[:3]])


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "not a JSON file"),
        ("[" * 100_000, "not a JSON file"),
        ("5", "expected a JSON list"),
        ([[1, 2, 3, 4]], "expected a JSON list"),
        ([{"image": "photo.jpg", "box": [1, 2, 3, 4]}], "expected a JSON list"),
        ([{"image": "photo.jpg", "bbox": [1, 2, 3]}], "expected a JSON list"),
        ([{"image": ["photo.jpg"], "bbox": [1, 2, 3, 4]}], "expected a JSON list"),
        ([{"image_id": True, "bbox": [1, 2, 3, 4]}], "expected a JSON list"),
        ([{"image_id": "x", "bbox": [1, 2, 3, 4]}], "none of its boxes"),
        ({"shapes": []}, r"not a COCO annotation file: .* \(`ppose convert` reads other formats\)"),
        ({"images": IMAGES, "annotations": 5}, "none of its boxes"),
        (
            {"images": IMAGES, "annotations": [{"image_id": [7], "bbox": [1, 2, 3, 4]}]},
            "expected a JSON list",
        ),
        ({"images": IMAGES, "annotations": [{"image_id": 7}]}, "none of its boxes .* 1 without a box"),
        ([], "none of its boxes"),
    ],
)
def test_other_forms(read, content, expected):
    with pytest.raises(DataError, match=f"boxes.json: {expected}"):
        read(content)


def test_huge_boxes_are_boxes(read):
    assert np.isfinite(read([{"image": "photo.jpg", "bbox": [0, 0, 1e300, 1e300]}])[0]).all()
