"""Reading images."""

from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ppose.errors import DataError
from ppose.workspace import register

# The marker that ends a file of this kind, and the one after which it must come.
_JPEG_START, _JPEG_SCAN, _JPEG_END = b"\xff\xd8", b"\xff\xda", b"\xff\xd9"
_PNG_START, _PNG_END = b"\x89PNG", b"IEND"


def read_image(path: str | Path, *, use_exif: bool = False) -> np.ndarray:
    """Read an image file as (H, W, 3) uint8, RGB; grey and transparent images become RGB.

    ``use_exif`` turns a photo as its EXIF orientation says; the annotations of COCO and the like are in the
    stored orientation, so datasets leave it off. Raises DataError that names a missing, truncated or
    unreadable file.
    """
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise DataError(f"image not found: {path}") from None
    except OSError as error:
        raise DataError(f"cannot read image {path}: {error.strerror}") from None
    flags = cv2.IMREAD_COLOR_RGB | (0 if use_exif else cv2.IMREAD_IGNORE_ORIENTATION)
    if _is_truncated(data):
        raise DataError(f"image is cut short: {path} ({len(data)} bytes)")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    except cv2.error:  # larger than OpenCV's limit on pixels, for instance
        image = None
    if image is None:
        raise DataError(f"not a readable image: {path} ({len(data)} bytes)")
    return image


def _is_truncated(data: bytes) -> bool:
    """OpenCV fills what is missing with grey and goes on; compressed data itself never holds a marker."""
    if data.startswith(_JPEG_START):
        return data.find(_JPEG_END, _start_of_scan(data)) < 0
    return data.startswith(_PNG_START) and _PNG_END not in data


def _start_of_scan(data: bytes) -> int:
    """Where a JPEG's compressed data begins, after its segments: thumbnails in them have markers too."""
    position = 2
    while data[position : position + 1] == b"\xff" and data[position : position + 2] != _JPEG_SCAN:
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return position


@register(kind="transform")
class Decode:
    """Reads the image of a sample that has none yet, turned as its EXIF orientation says.

    Reads image_file; adds image. People of one image follow each other: the last image read serves them all.
    """

    def __init__(self) -> None:
        self._read = lru_cache(maxsize=1)(partial(read_image, use_exif=True))

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        """See the class."""
        if "image" not in sample:
            sample["image"] = self._read(sample["image_file"])
        return sample
