"""Sizes as image files state them, and what is refused by them before anything is decoded."""

import io
import os
import struct
import time
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from ppose.errors import DataError
from ppose.keypoints import get_keypoint_set
from ppose.pixel_limit import LARGEST_LIMIT, MOST_PIXELS, limit_pixels, max_pixels
from ppose.transforms import TopDownAffine, jpeg, read_image, read_image_part
from ppose.transforms.image_size import find_stated_size

PICTURE = np.random.default_rng(0).integers(0, 256, (21, 37, 3), dtype=np.uint8)


def save(mode="RGB", **options):
    data = io.BytesIO()
    Image.fromarray(PICTURE).convert(mode).save(data, **options)
    return data.getvalue()


def jpeg_with_scans(count):
    """A progressive JPEG whose last scan is there ``count`` times."""
    data = save(format="JPEG", progressive=True)
    last = data.rfind(jpeg.SCAN)
    scan = data[last : data.rfind(jpeg.END)]
    return data[:last] + count * scan + jpeg.END


def png(width, height):
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b""))
    parts = (struct.pack(">I", len(b)) + k + b + struct.pack(">I", zlib.crc32(k + b)) for k, b in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def bmp(width, height):
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 1024, 0, 0, 54) + info + bytes(970)


def tiff(width, height):
    entries = ((256, width), (257, height), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (279, 9))
    body = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    return b"II*\x00" + struct.pack("<IH", 8, len(entries)) + body + bytes(500)


def large_jpeg(width, height):
    data = save(format="JPEG")
    frame = jpeg.find_segment(data, (b"\xff\xc0",))
    return data[: frame + 5] + struct.pack(">HH", height, width) + data[frame + 9 :]


WRITTEN = {
    "baseline": lambda: save(format="JPEG"),
    "progressive": lambda: save(format="JPEG", progressive=True),
    "grey jpeg": lambda: save("L", format="JPEG"),
    "cmyk": lambda: save("CMYK", format="JPEG"),
    "png": lambda: save(format="PNG"),
    "palette": lambda: save("P", format="PNG"),
    "bmp": lambda: save(format="BMP"),
    "webp": lambda: save(format="WEBP"),
    "webp lossless": lambda: save(format="WEBP", lossless=True),
    "webp alpha": lambda: save("RGBA", format="WEBP", exif=b"Exif\x00\x00II*\x00\x08\x00\x00\x00\x00\x00"),
    "tiff": lambda: save(format="TIFF"),
    "big tiff": lambda: save(format="TIFF", big_tiff=True),
    "gif": lambda: save("P", format="GIF"),
    "jp2": lambda: save(format="JPEG2000"),
    "jpeg 2000 alone": lambda: save(format="JPEG2000", no_jp2=True),
    "avif": lambda: cv2.imencode(".avif", PICTURE)[1].tobytes(),
    "pbm": lambda: b"P1 # a comment\n37\n21 " + b"0 " * 37 * 21,
    "pgm": lambda: save("L", format="PPM"),
    "ppm": lambda: save(format="PPM"),
}


@pytest.mark.parametrize("kind", list(WRITTEN))
def test_sizes_are_those_of_the_pixels(tmp_path, kind):
    data = WRITTEN[kind]()
    assert find_stated_size(data) == (37, 21)
    (tmp_path / "a").write_bytes(data)
    assert read_image(tmp_path / "a").shape == (21, 37, 3)
    for end in range(min(len(data), 64)):
        find_stated_size(data[:end])  # whatever it finds, it fails on no part


def test_sizes_of_heic():
    """Its encoder fills blocks up and cuts them again; the limit is for what is decoded."""
    heif = pytest.importorskip("pillow_heif", reason="pillow-heif is not installed")
    data = io.BytesIO()
    heif.from_bytes("RGB", (64, 40), bytes(64 * 40 * 3)).save(data)
    assert find_stated_size(data.getvalue()) == (64, 64)


def test_sizes_of_real_images(reference):
    files = sorted((reference / "data/coco_dev/images").iterdir())[:20]
    for file in files:
        with Image.open(file) as image:
            assert find_stated_size(file.read_bytes()) == image.size


@pytest.mark.parametrize("make", [png, bmp, tiff, large_jpeg])
def test_what_states_too_many_pixels_is_not_decoded(tmp_path, monkeypatch, make):
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    monkeypatch.setattr(jpeg, "decode_part", lambda *_: pytest.fail("decoded"))
    (tmp_path / "bomb").write_bytes(make(60000, 50000))
    for read in (read_image, lambda path: read_image_part(path, 10, 1)):
        with pytest.raises(DataError, match=r"bomb has 60000 x 50000 pixels, .* 100,000,000 of --max_pixels"):
            read(tmp_path / "bomb")


def test_the_limit_is_of_a_command_and_of_opencv_too(tmp_path):
    assert max_pixels() == MOST_PIXELS
    (tmp_path / "a.png").write_bytes(save(format="PNG"))
    with limit_pixels(37 * 21 - 1), pytest.raises(DataError, match=r"37 x 21 pixels, .* 776 of --max_pixels"):
        read_image(tmp_path / "a.png")
    with limit_pixels(37 * 21):
        assert read_image(tmp_path / "a.png").shape == (21, 37, 3)
        assert os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"] == "777"
    with limit_pixels(1 << 40):
        assert max_pixels() == LARGEST_LIMIT
    assert max_pixels() == MOST_PIXELS


@pytest.mark.parametrize("scans", [50, 500])
def test_scans_of_a_jpeg_have_a_bound(tmp_path, scans):
    (tmp_path / "a.jpg").write_bytes(jpeg_with_scans(scans))
    if scans == 50:
        assert read_image(tmp_path / "a.jpg").shape == (21, 37, 3)
        return
    for read in (read_image, lambda path: read_image_part(path, 10, 1)):
        with pytest.raises(DataError, match=r"a\.jpg is a JPEG of 5\d\d scans, expected 100 at most"):
            read(tmp_path / "a.jpg")


@pytest.mark.parametrize("name", ["fifo", "/dev/zero", "a\0b", "\ud800.jpg"])
def test_what_is_no_file_is_an_error_at_once(tmp_path, name):
    if name == "fifo":
        os.mkfifo(tmp_path / name)
    words = "invalid file name" if "." in name or "\0" in name else "a pipe or device, not a file"
    with pytest.raises(DataError, match=words):
        read_image(tmp_path / name)


def test_a_file_that_no_picture_fills_is_not_read(tmp_path):
    with (tmp_path / "a.bmp").open("wb") as file:
        file.write(b"BM")
        file.truncate(1 << 40)  # takes no room on the disk
    with pytest.raises(DataError, match=r"it has 1,099,511,627,776 bytes, expected 1,600,000,000 at most"):
        read_image(tmp_path / "a.bmp")


def test_a_warp_counts_in_32_bits():
    huge = np.lib.stride_tricks.as_strided(np.zeros(3, np.uint8), (30000, 30000, 3), (0, 0, 1))
    sample = {"image": huge, "center": np.array([15000.0, 15000]), "scale": np.array([300.0, 400])}
    with pytest.raises(DataError, match="30000 x 30000 pixels is too large for OpenCV's warp"):
        TopDownAffine([48, 64], get_keypoint_set("coco17"))(sample)


def test_what_stands_between_segments_is_passed_over(tmp_path):
    """As decoders do: some cameras write more than a segment says."""
    data = save(format="JPEG")
    table = jpeg.find_segment(data, (b"\xff\xdb",))
    data = data[:table] + b"\x00\x01\xff\x00\xff\xff" + data[table:]
    assert find_stated_size(data) == (37, 21)
    (tmp_path / "a.jpg").write_bytes(data)
    assert read_image(tmp_path / "a.jpg").shape == (21, 37, 3)


def test_what_a_file_is_filled_up_with_takes_no_time():
    """A step for each byte took three seconds."""
    data = save(format="JPEG")
    begin = time.process_time()
    assert find_stated_size(data[:2] + b"\xff" * 10_000_000 + data[2:]) == (37, 21)
    for nothing in (b"\xff\x00", b"\xff\xe1\x00\x02"):
        assert find_stated_size(data[:2] + nothing * 3_000_000 + data[2:]) in (None, (0, 0))
    assert time.process_time() - begin < 1
