"""Photos with an EXIF orientation: turned as their annotations know them, in every way of reading them."""

import json

import numpy as np
import pytest
from PIL import Image

from ppose.commands.benchmark import read_scenes
from ppose.image_files import read_boxes_and_sizes
from ppose.inference.pose_files import ImageFiles
from ppose.keypoints import get_keypoint_set
from ppose.transforms import TopDownAffine, read_annotated, read_image_size

COCO17 = get_keypoint_set("coco17")
STORED, SHOWN = (160, 120), (120, 160)  # width, height
TURNS = {1: 0, 3: 2, 6: 3, 8: 1}  # EXIF orientation: quarter turns of numpy's rot90 that show it


def write_photo(file, orientation, size=STORED):
    """A smooth photo; returns its pixels as shown, (H, W, 3)."""
    y, x = np.mgrid[: size[1], : size[0]]
    stored = np.stack([x * 255 // size[0], y * 255 // size[1], (x + y) % 200], axis=-1).astype(np.uint8)
    photo = Image.fromarray(stored)
    exif = photo.getexif()
    exif[0x0112] = orientation
    file.parent.mkdir(exist_ok=True)
    photo.save(file, "JPEG", exif=exif, quality=95)
    return np.rot90(stored, TURNS[orientation])


def content_of(size):
    return {
        "images": [{"id": 1, "file_name": "a.jpg", **dict(zip(("width", "height"), size, strict=True))}],
        "annotations": [
            {
                "id": 1,
                "image_id": 1,
                "category_id": 1,
                "bbox": [20, 30, 60, 70],
                "keypoints": [40, 50, 2] * 17,
            }
        ],
    }


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_a_photo_is_turned_where_the_stated_size_is_the_turned_one(tmp_path, open_dataset, orientation):
    shown = write_photo(tmp_path / "images" / "a.jpg", orientation)
    dataset = open_dataset(content_of((shown.shape[1], shown.shape[0])))
    assert np.abs(dataset[0]["image"].astype(int) - shown).mean() < 8
    for partial in (True, False):  # training decodes only what it needs
        out = TopDownAffine([48, 64], COCO17, partial_decoding=partial)(dataset[0])
        expected = TopDownAffine([48, 64], COCO17)({**dataset[0], "image": shown})
        assert np.abs(out["image"].astype(int) - expected["image"]).mean() < 8


def test_a_photo_is_as_stored_where_that_is_its_stated_size(tmp_path, open_dataset, caplog):
    write_photo(tmp_path / "images" / "a.jpg", 6)
    dataset = open_dataset(content_of(STORED))
    assert dataset[0]["image"].shape == (120, 160, 3)
    assert open_dataset(content_of(SHOWN))[0]["image"].shape == (160, 120, 3)
    assert not caplog.records


def test_a_photo_without_a_stated_size_is_turned_and_has_that_size(tmp_path, open_dataset):
    write_photo(tmp_path / "images" / "a.jpg", 6)
    dataset = open_dataset(content_of((None, None)))
    assert dataset.annotations.images.sizes.tolist() == [list(SHOWN)]
    assert dataset[0]["image"].shape == (160, 120, 3)


def test_a_key_takes_photos_as_they_are_stored(tmp_path, open_dataset):
    write_photo(tmp_path / "images" / "a.jpg", 3)
    turned = open_dataset(content_of(STORED))[0]["image"]
    stored = open_dataset(content_of(STORED), use_exif=False)[0]["image"]
    np.testing.assert_array_equal(np.rot90(turned, 2), stored)
    unsized = open_dataset(content_of((0, 0)), use_exif=False)
    assert unsized.annotations.images.sizes.tolist() == [list(STORED)]


def test_sizes_that_contradict_each_other_are_reported_once(tmp_path, open_dataset, caplog):
    """Half of the shown size: lying or upright says that it is the turned photo."""
    write_photo(tmp_path / "images" / "a.jpg", 6)
    dataset = open_dataset(content_of((60, 80)))
    assert dataset[0]["image"].shape == (160, 120, 3)
    TopDownAffine([48, 64], COCO17, partial_decoding=True)(dataset[0])
    (line,) = (message for message in caplog.messages if "its annotations say" in message)
    assert "a.jpg has 120 x 160 pixels, its annotations say 60 x 80" in line


def test_inference_turns_photos_as_the_file_of_their_boxes_knows_them(tmp_path):
    file = tmp_path / "images" / "a.jpg"
    write_photo(file, 6)
    for size, shape in ((STORED, (120, 160, 3)), (SHOWN, (160, 120, 3)), ((None, None), (160, 120, 3))):
        (tmp_path / "boxes.json").write_text(json.dumps(content_of(size)))
        images = ImageFiles([file], None, read_boxes_and_sizes(tmp_path / "boxes.json", [file])[1])
        assert next(iter(images)).read().shape == shape
    assert next(iter(ImageFiles([file]))).read().shape == (160, 120, 3)


def test_the_benchmark_turns_photos_as_the_file_of_their_boxes_knows_them(tmp_path):
    write_photo(tmp_path / "images" / "a.jpg", 6)
    for size, shape in ((STORED, (120, 160, 3)), (SHOWN, (160, 120, 3))):
        (tmp_path / "boxes.json").write_text(json.dumps(content_of(size)))
        ((image, boxes),) = read_scenes(tmp_path / "images", str(tmp_path / "boxes.json"))
        assert image.shape == shape
        assert boxes.tolist() == [[20, 30, 80, 100]]


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_sizes_are_those_of_the_pixels(tmp_path, orientation):
    file = tmp_path / "images" / "a.jpg"
    write_photo(file, orientation)
    for use_exif in (True, False):
        height, width = read_annotated(file, use_exif=use_exif)[0].shape[:2]
        assert read_image_size(file, use_exif=use_exif) == (width, height)
    Image.fromarray(np.zeros((7, 5, 3), np.uint8)).save(tmp_path / "a.png")
    assert read_image_size(tmp_path / "a.png") == (5, 7)
