"""Parts of a JPEG against the whole: the same pixels, and smaller ones where the formula says they are."""

import cv2
import numpy as np
import pytest
from PIL import Image

from ppose.keypoints import get_keypoint_set
from ppose.transforms import LazySample, TopDownAffine, read_image, read_image_part
from ppose.transforms.jpeg import REDUCTIONS

COCO17 = get_keypoint_set("coco17")
SHAPES = [(203, 301), (64, 48), (97, 640)]


def smooth_picture(shape, channels=3):
    noise = np.random.default_rng(1).integers(0, 256, (*shape, channels), dtype=np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 6), None, 0, 255, cv2.NORM_MINMAX)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "options",
    [{"subsampling": 0}, {"subsampling": 1}, {"subsampling": 2}, {"progressive": True}]
    + [{"restart_marker_blocks": 3}],
)
def test_first_rows_are_those_of_the_whole(tmp_path, capfd, shape, options):
    file = tmp_path / "a.jpg"
    Image.fromarray(smooth_picture(shape)).save(file, quality=90, **options)
    whole = read_image(file)
    for rows in (0, 1, 15, 16, 17, 61, shape[0] - 1, shape[0], 10000):
        part, reduction = read_image_part(file, rows, 1)
        rows = min(rows, shape[0])
        assert rows <= len(part) <= rows + 8
        assert reduction == 1
        np.testing.assert_array_equal(part[:rows, :, :3], whole[:rows])
    assert capfd.readouterr().err == ""  # decoders complain of what is left over


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", SHAPES)
def test_reduced_pixels_are_where_documented(tmp_path, shape, reduction):
    """In a picture that shows each pixel's own x and y, and against OpenCV's decoder."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    ramp = np.stack([x * 200 / shape[1], y * 200 / shape[0], x * 0 + 128], axis=-1).round().astype(np.uint8)
    file = tmp_path / "a.jpg"
    Image.fromarray(ramp).save(file, quality=100, subsampling=0)
    part, found = read_image_part(file, 10000, reduction)
    height, width = -(-shape[0] // reduction), -(-shape[1] // reduction)
    assert (part.shape, found) == ((height, width, 4), reduction)
    inner = part[: shape[0] // reduction, : shape[1] // reduction].astype(float)
    rows, columns = np.indices(inner.shape[:2])
    at_x, at_y = reduction * columns + (reduction - 1) / 2, reduction * rows + (reduction - 1) / 2
    error_x, error_y = inner[..., 0] * shape[1] / 200 - at_x, inner[..., 1] * shape[0] / 200 - at_y
    for error, side in ((error_x, shape[1]), (error_y, shape[0])):
        assert abs(error.mean()) < 0.3 * side / 200 + 0.05
    flags = {1: 0, 2: 16, 4: 32, 8: 64}[reduction] | cv2.IMREAD_COLOR_RGB
    np.testing.assert_array_equal(part[..., :3], cv2.imread(str(file), flags))


def test_what_is_no_common_jpeg_is_read_in_full(tmp_path):
    picture = smooth_picture((40, 60))
    Image.fromarray(picture).save(tmp_path / "a.png")
    Image.fromarray(smooth_picture((40, 60), 4), "CMYK").save(tmp_path / "cmyk.jpg")
    Image.fromarray(picture[..., 0]).save(tmp_path / "grey.jpg")
    for name, expected in (("a.png", 1), ("cmyk.jpg", 1), ("grey.jpg", 2)):
        part, reduction = read_image_part(tmp_path / name, 10000, 2)
        assert reduction == expected
        whole = read_image(tmp_path / name)
        if reduction == 1:
            np.testing.assert_array_equal(part, whole)
        else:
            means = whole.reshape(20, 2, 30, 2, 3).mean(axis=(1, 3))
            assert np.abs(part[..., :3] - means).max() < 6
    photo = Image.fromarray(picture)
    exif = photo.getexif()
    exif[0x0112] = 6  # a quarter turn, which annotations do not know
    photo.save(tmp_path / "turned.jpg", exif=exif)
    assert read_image_part(tmp_path / "turned.jpg", 10000, 1)[0].shape == (40, 60, 4)


def make_lazy(file, seed, scale):
    rng = np.random.default_rng(seed)
    return LazySample(
        read_image,
        image_file=str(file),
        center=rng.uniform([0, 0], [301, 203]),
        scale=np.array([0.75, 1.0]) * scale,
        rotation=rng.uniform(-180, 180),
        flip=bool(seed % 2),
        keypoints=rng.uniform(0, 200, (17, 2)),
        visible=np.ones(17, np.float32),
    )


@pytest.mark.parametrize("use_udp", [False, True])
def test_a_warp_of_the_part_is_that_of_the_whole(tmp_path, use_udp):
    """The same bits without reduction; with it alike inside of a picture that is smooth.

    The full picture is sampled without smoothing, which makes 1.2 and 5.5 levels; pixels taken to be at r i
    instead of r i + (r - 1) / 2 would give 2.2 and 11.
    """
    file = tmp_path / "a.jpg"
    Image.fromarray(smooth_picture((203, 301))).save(file, quality=95)
    inside = np.pad(np.full((187, 285), 255, np.uint8), 8)
    for scale, size, tolerance in ((120, (96, 128), 0), (150, (30, 40), 1.6), (260, (24, 32), 7)):
        in_part = TopDownAffine(size, COCO17, use_udp, partial_decoding=True)
        for seed in range(20):
            out = in_part(make_lazy(file, seed, scale))
            expected = TopDownAffine(size, COCO17, use_udp)(make_lazy(file, seed, scale))
            for key in ("keypoints", "warp"):
                np.testing.assert_array_equal(out[key], expected[key])
            assert out["image"].shape == (*size[::-1], 3)
            difference = np.abs(out["image"].astype(int) - expected["image"])
            if scale > 120:
                difference = difference[cv2.warpAffine(inside, out["warp"], size) == 255]
            assert difference.size == 0 or difference.mean() <= tolerance


def test_an_image_is_read_once_and_only_when_asked_for(tmp_path):
    file = tmp_path / "a.jpg"
    Image.fromarray(smooth_picture((203, 301))).save(file)
    reads = []

    def read(path):
        reads.append(path)
        return read_image(path)

    sample = LazySample(
        read, image_file=str(file), center=np.array([150.0, 100]), scale=np.array([75.0, 100])
    )
    assert "image" not in sample
    assert reads == []
    assert sample["image"] is sample["image"]
    assert len(reads) == 1
    sample["image"] = np.full((203, 301, 3), 77, np.uint8)  # a transform's before the warp stays
    out = TopDownAffine([48, 64], COCO17, partial_decoding=True)(sample)
    assert (out["image"] == 77).all()
    with pytest.raises(KeyError, match="keypoints"):
        sample["keypoints"]
